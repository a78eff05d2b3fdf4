#include "memvid/hnsw_graph.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "memvid/code_file.hpp"
#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t matrix_at = 8;          // behind u32 rows and u32 bytes a row
constexpr std::size_t head_bytes = 64;        // magic, kinds, counts
constexpr std::size_t graph_head_bytes = 40;  // nodes, connectivity, that of level 0, top level, entry node
constexpr std::size_t max_dim = 1 << 16;  // products of i8 are summed in 32 bits, which would hold twice that
constexpr std::size_t cache_line = 64;

// A walk ends when so many candidates in a row as its beam has places, divided by this, led to none of the best.
constexpr std::size_t patience = 4;
constexpr std::size_t watched = 26;  // of the best, at least
constexpr std::size_t scanned_rows = 16384;  // compared by one thread at a time
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
    : dim_(dim), scalar_(scalar), pool_(threads == 0 ? available_cores() : threads) {
    if (dim == 0 || dim > max_dim) damaged("it is too short");
    if (is_code(scalar))
        open_codes(file, rows);
    else
        open_usearch(file, rows);
}

void HnswGraph::open_codes(ByteView file, std::size_t rows) {
    coder_.emplace(dim_, scalar_);
    row_bytes_ = coder_->row_bytes();
    CodeFile found = read_codes(file, *coder_, scalar_);
    count_ = found.nodes;
    matrix_ = found.codes.data();
    links_ = std::move(found.links);
    rows_ = NodeRows(found.copies, count_, rows);
}

void HnswGraph::open_usearch(ByteView file, std::size_t rows) {
    constexpr std::size_t heads = matrix_at + head_bytes + graph_head_bytes;
    row_bytes_ = dim_ * scalar_bytes(scalar_);
    if (file.size() < heads) damaged("it is too short");
    count_ = load<std::uint32_t>(file.data());
    // Divided, not multiplied: no product overflows, whatever a caller claims.
    if (count_ == 0 || count_ > rows || (file.size() - heads) / count_ < row_bytes_ + 2) damaged("it is too short");
    matrix_ = file.data() + matrix_at;
    const std::size_t graph_at = matrix_at + count_ * row_bytes_ + head_bytes;
    const std::size_t levels_at = graph_at + graph_head_bytes;
    const std::uint8_t* graph = file.data() + graph_at;
    const auto upper_room = load<std::uint64_t>(graph + 8), base_room = load<std::uint64_t>(graph + 16);
    const auto top_level = load<std::uint64_t>(graph + 24), entry = load<std::uint64_t>(graph + 32);
    if (load<std::uint64_t>(graph) != count_ || entry >= count_ || upper_room > UINT16_MAX || base_room > UINT16_MAX)
        damaged("its header does not fit it");
    const ByteView nodes = file.subspan(levels_at + 2 * count_);
    links_ = NodeLinks::usearch({count_, base_room, upper_room, top_level, static_cast<std::uint32_t>(entry)},
                                file.subspan(levels_at, 2 * count_), nodes);
    rows_ = NodeRows(nodes.subspan(links_.usearch_bytes()), count_, rows);
}

void HnswGraph::check() const {
    if (links_.any()) links_.check();
    if (!coder_) return;
    for (std::uint32_t row = 0; row < count_; ++row) {
        const auto factor = load<float>(vector(row));
        if (!std::isfinite(factor) || factor < 0) damaged("a vector has no factor");
    }
}

void HnswGraph::decode(std::uint32_t node, std::span<float> vector) const {
    if (!coder_) throw Error(ErrorCode::config, "these vectors are no codes");
    coder_->decode({this->vector(node), row_bytes_}, vector);
}

PreparedQuery HnswGraph::prepared(std::span<const float> query) const {
    return {query, scalar_, best_instructions(), coder_ ? &coder_->rotation() : nullptr};
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
    std::uint32_t nearest = links_.entry();
    float best = similarity(query, nearest);
    for (std::size_t level = links_.top_level(); level > 0; --level) {
        for (bool moved = true; moved;) {
            moved = false;
            const auto list = links_.list(nearest, level);
            for (std::size_t i = 0; i < list.size; ++i) prefetch(vector(links_.neighbour(list, i)), row_bytes_);
            for (std::size_t i = 0; i < list.size; ++i) {
                const std::uint32_t row = links_.neighbour(list, i);
                // A neighbour on this level has a list on it; a damaged file could say otherwise.
                if (links_.level_of(row) < level) damaged("a neighbour is not on the level it is linked from");
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

void HnswGraph::add_unseen(std::uint32_t node, SeenRows& seen, std::vector<std::uint32_t>& fresh) const {
    const auto list = links_.list(node, 0);
    for (std::size_t i = 0; i < list.size; ++i) {
        const std::uint32_t row = links_.neighbour(list, i);
        if (!seen.insert(row)) continue;
        // Finds the pages of all of them; the rest of a vector follows `lookahead` vectors before it is compared.
        __builtin_prefetch(vector(row));
        links_.prefetch_place(row);
        fresh.push_back(row);
    }
}

void HnswGraph::walk(const PreparedQuery& query, std::uint32_t start, std::size_t best, Beam& beam) const {
    SeenRows& seen = seen_rows();
    seen.begin(count_);
    std::vector<std::uint32_t> fresh;
    fresh.reserve(links_.room());
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
            links_.prefetch(node);
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
    if (!links_.any()) throw Error(ErrorCode::config, "this vector index has no graph to walk");
    const std::size_t compared = std::min(count_, k + spare);
    Beam beam(std::max({expansion, compared, std::size_t{1}}));
    if (wanted.allowed == nullptr)
        walk(query, descend(query), std::max(k, watched), beam);
    else if (wanted.through == 0 || !walk_through(query, descend(query), wanted, beam)) {
        if (wanted.skimmed == 0) return {};
        beam = Beam(std::max(compared, std::size_t{1}));
        compare(query, skim(query, *wanted.allowed, std::max(wanted.skimmed, compared)),
                [&](float near, std::uint32_t node) { beam.insert(near, node); });
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
            found[i] = nearest(prepared(queries.subspan(i * dim_, dim_)), k, expansion, spare, wanted);
        },
        poll);
    return found;
}

// Those of a part of the rows that may be among the k best of it, going by single precision.
template <typename Rows>
std::vector<Hit> HnswGraph::scan(const PreparedQuery& query, const Rows& rows, std::size_t begin, std::size_t end,
                                 std::size_t k) const {
    const float query_norm = query.norm() > 0 ? query.norm() : 1;
    const float slack = query.slack();
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

std::vector<Hit> HnswGraph::exact(const PreparedQuery& query, std::optional<std::span<const std::int64_t>> rows,
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
    std::vector<std::vector<Hit>> parts((size + scanned_rows - 1) / scanned_rows);
    pool_.parallel_for(
        parts.size(),
        [&](std::size_t part) {
            const std::size_t begin = part * scanned_rows, end = std::min(size, begin + scanned_rows);
            const auto each = [&](std::size_t i) { return listed[i]; };
            const auto all = [](std::size_t i) { return static_cast<std::uint32_t>(i); };
            parts[part] = rows ? scan(query, each, begin, end, k) : scan(query, all, begin, end, k);
        },
        poll);
    std::vector<Hit> nodes;
    for (const auto& part : parts) nodes.insert(nodes.end(), part.begin(), part.end());
    return best_rows(query, nodes, k, {words.empty() ? nullptr : &allowed, distinct});
}

}  // namespace memvid
