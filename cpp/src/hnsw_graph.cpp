#include "memvid/hnsw_graph.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t matrix_at = 8;          // behind u32 rows and u32 bytes a row
constexpr std::size_t head_bytes = 64;        // magic, kinds, counts
constexpr std::size_t graph_head_bytes = 40;  // nodes, connectivity, that of level 0, top level, entry node
constexpr std::size_t node_head_bytes = 10;   // u64 key, i16 level
constexpr std::size_t link_bytes = 4;
constexpr std::size_t max_dim = 1 << 16;  // products of i8 are summed in 32 bits, which would hold twice that
constexpr std::size_t cache_line = 64;

// A walk ends when so many candidates in a row as its beam has places, divided by this, led to none of the best.
constexpr std::size_t patience = 4;
constexpr std::size_t scanned_rows = 16384;  // compared by one thread at a time
// How far two cosines in single precision may be from their true order. Summing n products is off by at most n * 2**-24
// of the lengths, whatever the order of the sum; so is the square of a length, of which the root takes half.
float single_precision_slack(std::size_t dim) { return static_cast<float>(3 * dim + 16) * 0x1p-24F; }

// A cosine in single precision, of a product and lengths. 0 where it is not a number: a crafted file may hold
// infinities, and neither a heap nor a beam can be kept in order with what compares with nothing.
float cosine_of(float dot, float lengths) {
    const float cosine = dot / lengths;
    return std::isfinite(cosine) ? cosine : 0;
}

template <typename T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

[[noreturn]] void damaged(const char* what) {
    throw Error(ErrorCode::format, std::string("the vector index is damaged: ") + what);
}

}  // namespace

HnswGraph::HnswGraph(ByteView file, std::size_t rows, std::size_t dim, Scalar scalar, std::size_t threads)
    : dim_(dim),
      row_bytes_(dim * scalar_bytes(scalar)),
      scalar_(scalar),
      pool_(threads == 0 ? available_cores() : threads) {
    constexpr std::size_t heads = matrix_at + head_bytes + graph_head_bytes;
    if (dim == 0 || dim > max_dim || file.size() < heads) damaged("it is too short");
    count_ = load<std::uint32_t>(file.data());
    // Divided, not multiplied: no product overflows, whatever a caller claims.
    if (count_ == 0 || count_ > rows || (file.size() - heads) / count_ < row_bytes_ + 2) damaged("it is too short");
    const std::size_t graph_at = matrix_at + count_ * row_bytes_ + head_bytes;
    const std::size_t levels_at = graph_at + graph_head_bytes;
    const std::size_t nodes_at = levels_at + 2 * count_;
    matrix_ = file.data() + matrix_at;
    nodes_ = file.data() + nodes_at;
    const std::uint8_t* graph = file.data() + graph_at;
    upper_room_ = load<std::uint64_t>(graph + 8);
    base_room_ = load<std::uint64_t>(graph + 16);
    top_level_ = load<std::uint64_t>(graph + 24);
    const auto entry = load<std::uint64_t>(graph + 32);
    if (load<std::uint64_t>(graph) != count_ || entry >= count_ || upper_room_ > UINT16_MAX || base_room_ > UINT16_MAX)
        damaged("its header does not fit it");
    entry_ = static_cast<std::uint32_t>(entry);
    levels_before_.reserve(count_ + 1);
    std::uint64_t levels = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        const auto level = load<std::int16_t>(file.data() + levels_at + 2 * i);
        if (level < 0 || static_cast<std::size_t>(level) > top_level_) damaged("a level is impossible");
        levels_before_.push_back(static_cast<std::uint32_t>(levels));
        levels += static_cast<std::uint64_t>(level);
    }
    levels_before_.push_back(static_cast<std::uint32_t>(levels));
    const std::uint64_t base = node_head_bytes + link_bytes * (1 + base_room_);
    const std::uint64_t end = nodes_at + count_ * base + levels * link_bytes * (1 + upper_room_);
    if (levels > UINT32_MAX || level_of(entry_) != top_level_ || file.size() < end)
        damaged("its size does not fit its header");
    rows_ = NodeRows(file.subspan(end), count_, rows);
}

const std::uint8_t* HnswGraph::node(std::uint32_t row) const {
    return nodes_ + row * (node_head_bytes + link_bytes * (1 + base_room_)) +
           levels_before_[row] * link_bytes * (1 + upper_room_);
}

std::size_t HnswGraph::level_of(std::uint32_t row) const { return levels_before_[row + 1] - levels_before_[row]; }

// The neighbours of a node on a level it has: u32 each.
std::span<const std::uint8_t> HnswGraph::links(std::uint32_t row, std::size_t level) const {
    const std::uint8_t* list = node(row) + node_head_bytes;
    if (level > 0) list += link_bytes * (1 + base_room_) + (level - 1) * link_bytes * (1 + upper_room_);
    const auto used = load<std::uint32_t>(list);
    if (used > (level > 0 ? upper_room_ : base_room_)) damaged("a node has more neighbours than room");
    return {list + link_bytes, used * link_bytes};
}

std::uint32_t HnswGraph::neighbour(std::span<const std::uint8_t> links, std::size_t i) const {
    const auto row = load<std::uint32_t>(links.data() + i * link_bytes);
    if (row >= count_) damaged("a neighbour does not exist");
    return row;
}

float HnswGraph::similarity(const PreparedQuery& query, std::uint32_t row) const {
    const Products products = query.products(vector(row));
    return cosine_of(products.dot, std::sqrt(products.norm));
}

void HnswGraph::prefetch(const std::uint8_t* from, std::size_t bytes) const {
    for (std::size_t at = 0; at < bytes + cache_line - 1; at += cache_line) __builtin_prefetch(from + at);
}

// From the top level down to level 1, always to the nearest neighbour.
std::uint32_t HnswGraph::descend(const PreparedQuery& query) const {
    std::uint32_t nearest = entry_;
    float best = similarity(query, nearest);
    for (std::size_t level = top_level_; level > 0; --level) {
        for (bool moved = true; moved;) {
            moved = false;
            const auto list = links(nearest, level);
            const std::size_t size = list.size() / link_bytes;
            for (std::size_t i = 0; i < size; ++i) prefetch(vector(neighbour(list, i)), row_bytes_);
            for (std::size_t i = 0; i < size; ++i) {
                const std::uint32_t row = neighbour(list, i);
                // A neighbour on this level has a list on it; a damaged file could say otherwise.
                if (level_of(row) < level) damaged("a neighbour is not on the level it is linked from");
                const float found = similarity(query, row);
                if (!(found > best)) continue;
                best = found;
                nearest = row;
                moved = true;
            }
        }
    }
    return nearest;
}

// Not inlined: else its address is looked up again for each row.
[[gnu::noinline]] SeenRows& HnswGraph::seen_rows() {
    thread_local SeenRows seen;
    return seen;
}

void HnswGraph::prefetch_links(std::uint32_t row) const {
    prefetch(node(row), node_head_bytes + link_bytes * (1 + base_room_));
}

void HnswGraph::add_unseen(std::uint32_t node, SeenRows& seen, std::vector<std::uint32_t>& fresh) const {
    const auto list = links(node, 0);
    for (std::size_t i = 0; i < list.size() / link_bytes; ++i) {
        const std::uint32_t row = neighbour(list, i);
        if (!seen.insert(row)) continue;
        // Finds the pages of all of them; the rest of a vector follows `lookahead` vectors before it is compared.
        __builtin_prefetch(vector(row));
        __builtin_prefetch(&levels_before_[row]);
        fresh.push_back(row);
    }
}

void HnswGraph::walk(const PreparedQuery& query, std::uint32_t start, std::size_t best, Beam& beam) const {
    SeenRows& seen = seen_rows();
    seen.begin(count_);
    std::vector<std::uint32_t> fresh;
    fresh.reserve(base_room_);
    seen.insert(start);
    beam.insert(similarity(query, start), start);
    // One as wide as the graph goes everywhere.
    const std::size_t enough = beam.width < count_ ? (beam.width + patience - 1) / patience : SIZE_MAX;
    std::size_t in_vain = 0;
    // Everything in front of `next` is expanded.
    for (std::size_t next = 0; next < beam.candidates.size() && in_vain < enough;) {
        auto& candidate = beam.candidates[next];
        if (candidate.expanded) {
            ++next;
            continue;
        }
        candidate.expanded = true;
        ++in_vain;
        fresh.clear();
        add_unseen(candidate.node, seen, fresh);
        compare(query, fresh, [&](float near, std::uint32_t node) {
            const std::size_t place = beam.insert(near, node);
            if (place == beam.width) return;
            if (place < best) in_vain = 0;
            prefetch_links(node);
            next = std::min(next, place);
        });
    }
    seen.end();
}

// Of nodes, the best `k` rows that are wanted: scored with the query as it was given.
std::vector<Hit> HnswGraph::best_rows(const PreparedQuery& query, std::vector<Hit>& nodes, std::size_t k,
                                      const Wanted& wanted) const {
    for (auto& hit : nodes) hit.score = query.cosine(vector(hit.row));
    const auto better = [](const Hit& a, const Hit& b) {
        return a.score != b.score ? a.score > b.score : a.row < b.row;
    };
    std::sort(nodes.begin(), nodes.end(), better);
    std::vector<Hit> hits;
    if (k == 0) return hits;
    for (const Hit& node : nodes) {
        if (hits.size() >= k && node.score < hits.back().score) break;
        std::size_t taken = 0;
        rows_.each(node.row, wanted.allowed, [&](std::uint32_t row) {
            hits.push_back({row, node.score});
            return !wanted.distinct && ++taken < k;
        });
    }
    // Rows of nodes that score equal come in the order of rows.
    if (rows_.has_copies()) std::sort(hits.begin(), hits.end(), better);
    if (hits.size() > k) hits.resize(k);
    return hits;
}

std::vector<Hit> HnswGraph::nearest(const PreparedQuery& query, std::size_t k, std::size_t expansion, std::size_t spare,
                                    const Wanted& wanted) const {
    const std::size_t compared = std::min(count_, k + spare);
    Beam beam(std::max({expansion, compared, std::size_t{1}}));
    const std::uint32_t start = descend(query);
    if (wanted.allowed == nullptr)
        walk(query, start, compared, beam);
    else if (!walk_through(query, start, wanted, beam)) {
        if (wanted.between == 0) return {};
        beam = Beam(std::max(wanted.between, compared));
        walk_between(query, start, wanted, beam);
    }
    std::vector<Hit> nodes;
    nodes.reserve(compared);
    for (const auto& candidate : beam.candidates) {
        if (nodes.size() == compared) break;
        nodes.push_back({candidate.node, candidate.similarity});
    }
    return best_rows(query, nodes, k, wanted);
}

std::vector<std::vector<Hit>> HnswGraph::nearest(std::span<const float> queries, std::size_t k, std::size_t expansion,
                                                 std::size_t spare, const Wanted& wanted, const Poll& poll) const {
    std::vector<std::vector<Hit>> found(queries.size() / dim_);
    pool_.parallel_for(
        found.size(),
        [&](std::size_t i) {
            found[i] = nearest(PreparedQuery(queries.subspan(i * dim_, dim_), scalar_), k, expansion, spare, wanted);
        },
        poll);
    return found;
}

// Those of a part of the rows that may be among the k best of it, going by single precision.
template <typename Rows>
std::vector<Hit> HnswGraph::scan(const PreparedQuery& query, const Rows& rows, std::size_t begin, std::size_t end,
                                 std::size_t k) const {
    const float query_norm = query.norm() > 0 ? query.norm() : 1;
    const float slack = single_precision_slack(dim_);
    std::vector<Hit> hits;
    std::vector<float> best;  // a heap of the k best scores, the least in front
    const auto greater = std::greater<float>();
    for (std::size_t i = begin; i < end; ++i) {
        if (i + lookahead < end) prefetch(vector(rows(i + lookahead)), row_bytes_);
        const std::uint32_t row = rows(i);
        const Products products = query.float_products(vector(row));
        const float score = cosine_of(products.dot, std::sqrt(products.norm) * query_norm);
        if (best.size() == k && score < best.front() - slack) continue;
        hits.push_back({row, score});
        if (best.size() == k) {
            if (!(score > best.front())) continue;
            std::pop_heap(best.begin(), best.end(), greater);
            best.pop_back();
        }
        best.push_back(score);
        std::push_heap(best.begin(), best.end(), greater);
    }
    if (best.size() == k) std::erase_if(hits, [&](const Hit& hit) { return hit.score < best.front() - slack; });
    return hits;
}

// The nodes of rows, each once where rows share them.
std::vector<std::uint32_t> HnswGraph::nodes_of(std::span<const std::int64_t> rows) const {
    std::vector<std::uint32_t> nodes;
    nodes.reserve(rows.size());
    for (const auto row : rows) {
        if (row < 0 || static_cast<std::uint64_t>(row) >= rows_.rows())
            throw Error(ErrorCode::config, "there is no row " + std::to_string(row));
        nodes.push_back(rows_.node(static_cast<std::uint32_t>(row)));
    }
    if (rows_.has_copies()) {
        std::sort(nodes.begin(), nodes.end());
        nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    }
    return nodes;
}

std::vector<Hit> HnswGraph::exact(std::span<const float> query, std::optional<std::span<const std::int64_t>> rows,
                                  std::size_t k, bool distinct, const Poll& poll) const {
    const std::vector<std::uint32_t> listed = rows ? nodes_of(*rows) : std::vector<std::uint32_t>();
    const std::size_t size = rows ? listed.size() : count_;
    if (k == 0 || size == 0) return {};
    std::vector<std::uint64_t> words;  // the rows, where a node of theirs has others
    if (rows && rows_.has_copies()) {
        words.resize((rows_.rows() + 63) / 64);
        for (const auto row : *rows) words[static_cast<std::size_t>(row) / 64] |= std::uint64_t{1} << (row % 64);
    }
    const RowSet allowed{words, 0};
    const PreparedQuery prepared(query, scalar_);
    std::vector<std::vector<Hit>> parts((size + scanned_rows - 1) / scanned_rows);
    pool_.parallel_for(
        parts.size(),
        [&](std::size_t part) {
            const std::size_t begin = part * scanned_rows, end = std::min(size, begin + scanned_rows);
            const auto each = [&](std::size_t i) { return listed[i]; };
            const auto all = [](std::size_t i) { return static_cast<std::uint32_t>(i); };
            parts[part] = rows ? scan(prepared, each, begin, end, k) : scan(prepared, all, begin, end, k);
        },
        poll);
    std::vector<Hit> nodes;
    for (const auto& part : parts) nodes.insert(nodes.end(), part.begin(), part.end());
    return best_rows(prepared, nodes, k, {words.empty() ? nullptr : &allowed, distinct});
}

}  // namespace memvid
