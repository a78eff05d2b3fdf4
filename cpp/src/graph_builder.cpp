#include "memvid/graph_builder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <tuple>

#include "memvid/code_file.hpp"
#include "memvid/error.hpp"
#include "memvid/file.hpp"
#include "memvid/graph_file.hpp"

namespace memvid {

namespace {

constexpr std::size_t most_at_once = 2048;  // nodes of a batch: each is compared with all of them
constexpr std::size_t batch_share = 10;     // a batch is at most one in so many of the nodes that are in the graph
constexpr std::size_t portion_points = 16;  // looked for by a thread at a time
constexpr std::size_t edge_parts = 64;
constexpr std::size_t sample_stride = 16;      // of so many nodes one is looked for when the graph is done,
constexpr std::size_t tolerated_misses = 200;  // and all of them are if of so many of those more than one was missed
constexpr std::size_t offered_links = 8;       // nodes that may lead to one that was missed
constexpr std::size_t max_dim = 1 << 16;

std::size_t batch_size(std::size_t inserted) {
    return std::clamp<std::size_t>(inserted / batch_share, 1, most_at_once);
}

const GraphOptions& checked(const GraphOptions& options) {
    if (options.dim == 0 || options.dim > max_dim || options.connectivity < 2 || options.connectivity > 256 ||
        options.expansion == 0 ||
        (options.scalar == Scalar::code4 && 2 * options.connectivity > NodeLinks::most_packed_links))
        throw Error(ErrorCode::config, "a graph of such dimensions, connectivity or expansion cannot be built");
    return options;
}

}  // namespace

GraphBuilder::GraphBuilder(const GraphOptions& options)
    : scalar_(checked(options).scalar),
      coder_(is_code(scalar_) ? std::optional(RowCoder(options.dim, scalar_)) : std::nullopt),
      rows_(coder_ ? RowProducts(Scalar::i8, coder_->size(), options.instructions)
                   : RowProducts(scalar_, options.dim, options.instructions)),
      links_(options.connectivity),
      expansion_(std::max(options.expansion, options.connectivity)),
      edges_(edge_parts),
      pool_(options.threads == 0 ? available_cores() : options.threads) {}

void GraphBuilder::add(std::uint64_t first_key, ByteView vectors, const Poll& poll) {
    begin(first_key, vectors.size(), row_bytes());
    if (coder_) {
        const auto code = [&](std::size_t i, std::span<std::int8_t> code) {
            std::vector<std::int16_t> vector(coder_->dim());
            std::memcpy(vector.data(), vectors.data() + i * row_bytes(), row_bytes());
            for (const auto value : vector)
                if (value < -RowCoder::peak || value > RowCoder::peak)
                    throw Error(ErrorCode::config, "a vector has a component that is too large for its code");
            return coder_->encode(vector, code);
        };
        add_coded(vectors.size() / row_bytes(), code, poll);
    } else {
        for (std::size_t at = 0; at < vectors.size(); at += row_bytes()) add_row(vectors.data() + at, poll);
    }
    usable_ = true;
}

void GraphBuilder::add_codes(std::uint64_t first_key, ByteView codes, const Poll& poll) {
    if (!coder_) throw Error(ErrorCode::config, "the vectors of this graph are no codes");
    begin(first_key, codes.size(), code_bytes());
    const auto code = [&](std::size_t i, std::span<std::int8_t> code) {
        const float factor = coder_->unpack(codes.subspan(i * code_bytes(), code_bytes()), code);
        if (!std::isfinite(factor) || factor < 0) throw Error(ErrorCode::config, "a code has no factor");
        return factor;
    };
    add_coded(codes.size() / code_bytes(), code, poll);
    usable_ = true;
}

// Rows are to come: until they are there, nothing else may be done.
void GraphBuilder::begin(std::uint64_t first_key, std::size_t bytes, std::size_t row_bytes) {
    if (!usable_) throw Error(ErrorCode::closed, "this graph is finished or was given up");
    if (bytes % row_bytes != 0) throw Error(ErrorCode::config, "vectors are not of the graph's dimensions");
    if (bytes > 0 && (keys_.empty() || keys_.back().first_key + (rows() - keys_.back().first_row) != first_key))
        keys_.push_back({rows(), first_key});
    usable_ = false;
}

// Rows of a portion are encoded side by side, then added one after the other.
void GraphBuilder::add_coded(std::size_t count, const Encode& encode, const Poll& poll) {
    const std::size_t size = coder_->size();
    std::vector<std::int8_t> codes(std::min(count, most_at_once) * size);
    std::vector<float> factors(most_at_once);
    for (std::size_t first = 0; first < count; first += most_at_once) {
        const std::size_t some = std::min(most_at_once, count - first);
        pool_.parallel_for(
            (some + portion_points - 1) / portion_points,
            [&](std::size_t part) {
                for (std::size_t i = part * portion_points; i < std::min(some, (part + 1) * portion_points); ++i)
                    factors[i] = encode(first + i, std::span(codes).subspan(i * size, size));
            },
            poll);
        for (std::size_t i = 0; i < some; ++i)
            if (add_row(reinterpret_cast<const std::uint8_t*>(codes.data() + i * size), poll))
                factors_.push_back(factors[i]);
    }
}

// Whether it is a node of its own.
bool GraphBuilder::add_row(const std::uint8_t* row, const Poll& poll) {
    const bool is_new = rows_.add(row);
    if (is_linked() && nodes() - inserted_ >= batch_size(inserted_)) insert(batch_size(inserted_), poll);
    return is_new;
}

void GraphBuilder::save(const std::string& path, const Poll& poll) {
    if (!usable_ || rows() == 0) throw Error(ErrorCode::closed, "this graph is finished or was given up, or is empty");
    usable_ = false;
    if (is_linked()) finish_links(poll);
    OutputFile file(path);
    if (coder_) {
        write_codes(file, *coder_, scalar_, rows_, factors_, is_linked() ? &links_ : nullptr, poll);
        return file.close();
    }
    const auto key = [&](std::size_t row) {
        const auto run = std::upper_bound(keys_.begin(), keys_.end(), row,
                                          [](std::size_t value, const KeyRun& r) { return value < r.first_row; }) -
                         1;
        return run->first_key + (row - run->first_row);
    };
    write_graph(file, rows_, links_, key, poll);
    file.close();
}

void GraphBuilder::finish_links(const Poll& poll) {
    if (nodes() > inserted_) insert(nodes() - inserted_, poll);
    make_reachable(rows_, links_, expansion_, poll);
    if (link_missed(sample_stride, poll) * tolerated_misses > nodes() / sample_stride) link_missed(1, poll);
}

// The next `count` nodes.
void GraphBuilder::insert(std::size_t count, const Poll& poll) {
    const std::uint32_t first = inserted_, end = first + static_cast<std::uint32_t>(count);
    links_.grow_to(end);
    const auto starts = link_above(first, end, poll);
    // Points that begin at the same place see the same vectors: one after the other finds them in the caches.
    std::vector<std::uint32_t> peers(count), order(count);
    std::iota(peers.begin(), peers.end(), first);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return starts[a].node < starts[b].node; });
    in_parallel(
        count, portion_points,
        [&](std::size_t i, GraphWalk& walk) { connect(first + order[i], starts[order[i]], 0, peers, walk); }, poll);
    link_back(first, end, poll);
    for (std::uint32_t node = first; node < end; ++node) links_.enter(node);
    inserted_ = end;
}

// Links the points that are on levels above 0 there, and says where each begins on level 0.
std::vector<Link> GraphBuilder::link_above(std::uint32_t first, std::uint32_t end, const Poll& poll) {
    std::vector<std::vector<std::uint32_t>> peers;
    for (std::uint32_t point = first; point < end; ++point)
        for (std::size_t level = 1; level <= links_.level(point); ++level) {
            if (peers.size() < level) peers.emplace_back();
            peers[level - 1].push_back(point);
        }
    std::vector<Link> starts(end - first);
    in_parallel(
        end - first, portion_points,
        [&](std::size_t i, GraphWalk& walk) {
            const std::uint32_t point = first + static_cast<std::uint32_t>(i);
            Link start = walk.link(point, links_.entry());
            for (std::size_t level = std::max(links_.level(point), links_.top_level()); level > 0; --level)
                start = level > links_.level(point) ? walk.descend(point, start, level)
                                                    : connect(point, start, level, peers[level - 1], walk);
            starts[i] = start;
        },
        poll);
    return starts;
}

// Links a point to nodes of the graph and to peers, the points of its batch: those in front of it, as if they had been
// inserted one after the other. (Among all of them, points of a new cluster would see nothing but each other, and would
// have no link to the rest.) Returns the nearest node of the graph.
Link GraphBuilder::connect(std::uint32_t point, Link start, std::size_t level, std::span<const std::uint32_t> peers,
                           GraphWalk& walk) {
    std::vector<Link> candidates;
    if (inserted_ > 0 && level <= links_.top_level()) {
        const auto found = walk.search(point, start, level, expansion_);
        candidates.assign(found.begin(), found.end());
        start = candidates.front();
    }
    const auto own = std::lower_bound(peers.begin(), peers.end(), point);
    walk.add_nearer(point, {peers.begin(), own}, expansion_, candidates);
    links_.lists(level).replace(links_.list(point, level),
                                walk.choose(candidates, links_.connectivity(), links_.connectivity() / 2));
    return start;
}

// Links the nodes that points of a batch have linked to them.
void GraphBuilder::link_back(std::uint32_t first, std::uint32_t end, const Poll& poll) {
    for (auto& part : edges_) part.clear();
    for (std::uint32_t point = first; point < end; ++point)
        for (std::size_t level = 0; level <= links_.level(point); ++level) {
            const auto& lists = links_.lists(level);
            const std::size_t list = links_.list(point, level), size = lists.nodes(list).size();
            for (std::size_t i = 0; i < size; ++i) {
                const Link link = lists.link(list, i);
                edges_[link.node % edge_parts].push_back(
                    {link.node, static_cast<std::uint32_t>(level), {link.similarity, point}});
            }
        }
    const auto place = [](const Edge& edge) { return std::tuple(edge.target, edge.level, edge.source.node); };
    const auto same_list = [](const Edge& a, const Edge& b) { return a.target == b.target && a.level == b.level; };
    in_parallel(
        edge_parts, 1,
        [&](std::size_t i, GraphWalk& walk) {
            auto& part = edges_[i];
            std::sort(part.begin(), part.end(), [&](const Edge& a, const Edge& b) { return place(a) < place(b); });
            for (auto begin = part.begin(); begin != part.end();) {
                const auto behind =
                    std::find_if(begin, part.end(), [&](const Edge& e) { return !same_list(*begin, e); });
                link_back_to({begin, behind}, walk);
                begin = behind;
            }
        },
        poll);
}

// Links one node on one level: to all, as long as there is room, else to those that the heuristic chooses.
void GraphBuilder::link_back_to(std::span<const Edge> edges, GraphWalk& walk) {
    const std::uint32_t target = edges.front().target;
    const std::size_t level = edges.front().level, list = links_.list(target, level);
    auto& lists = links_.lists(level);
    std::vector<Link> all;
    all.reserve(lists.room() + edges.size());
    const auto linked = lists.nodes(list);
    for (std::size_t i = 0; i < linked.size(); ++i) all.push_back(lists.link(list, i));
    for (const Edge& edge : edges) all.push_back(edge.source);
    if (all.size() <= lists.room()) return lists.replace(list, all);
    std::sort(all.begin(), all.end(), is_nearer);
    lists.replace(list, walk.choose(all, lists.room(), links_.connectivity() / 2));
}

// Looks for every `stride`-th node as a search for its vector would, and links those that are missed from the nearest
// nodes that were found and have room. Where thousands of nodes are nearly alike, they link to each other alone, and
// nodes that came before them and are a little farther off lie behind them: then no link leads there.
std::size_t GraphBuilder::link_missed(std::size_t stride, const Poll& poll) {
    std::size_t missed = 0;
    std::vector<std::vector<Link>> offers(most_at_once);
    for (std::size_t first = 0; first < nodes(); first += most_at_once * stride) {
        const std::size_t count = std::min(most_at_once, (nodes() - first + stride - 1) / stride);
        in_parallel(
            count, portion_points,
            [&](std::size_t i, GraphWalk& walk) {
                offers[i] = links_to_missed(static_cast<std::uint32_t>(first + i * stride), walk);
            },
            poll);
        for (std::size_t i = 0; i < count; ++i) {
            missed += offers[i].empty() ? 0 : 1;
            const auto has_room = [&](const Link& from) {
                return links_.neighbours(from.node, 0).size() < links_.room(0);
            };
            const auto from = std::find_if(offers[i].begin(), offers[i].end(), has_room);
            if (from == offers[i].end()) continue;
            links_.lists(0).append(from->node, {from->similarity, static_cast<std::uint32_t>(first + i * stride)});
        }
    }
    return missed;
}

// The nearest nodes from which a point may be linked; none if a search finds it.
std::vector<Link> GraphBuilder::links_to_missed(std::uint32_t point, GraphWalk& walk) const {
    if (point == links_.entry()) return {};
    Link start = walk.link(point, links_.entry());
    for (std::size_t level = links_.top_level(); level > 0; --level) start = walk.descend(point, start, level);
    std::vector<Link> offers;
    for (const Link& found : walk.search(point, start, 0, expansion_ / 2)) {
        const auto neighbours = links_.neighbours(found.node, 0);
        if (std::find(neighbours.begin(), neighbours.end(), point) != neighbours.end()) return {};
        if (offers.size() < offered_links && neighbours.size() < links_.room(0)) offers.push_back(found);
    }
    return offers;
}

void GraphBuilder::in_parallel(std::size_t count, std::size_t portion, const Task& task, const Poll& poll) {
    pool_.parallel_for((count + portion - 1) / portion,
                       [&](std::size_t part) {
                           std::unique_ptr<GraphWalk> walk;
                           {
                               const std::lock_guard lock(mutex_);
                               if (!idle_walks_.empty()) {
                                   walk = std::move(idle_walks_.back());
                                   idle_walks_.pop_back();
                               }
                           }
                           if (!walk) walk = std::make_unique<GraphWalk>(rows_, links_);
                           for (std::size_t i = part * portion; i < std::min(count, (part + 1) * portion); ++i)
                               task(i, *walk);
                           const std::lock_guard lock(mutex_);
                           idle_walks_.push_back(std::move(walk));
                       },
                       poll);
}

}  // namespace memvid
