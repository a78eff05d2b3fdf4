#include "memvid/hnsw_graph.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>

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
constexpr std::size_t lookahead = 8;  // vectors on their way from memory while one is compared

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

// Which rows were seen by a search: a bit each, cleared again by the search that set them.
class Seen {
public:
    void begin(std::size_t rows) {
        end();  // of a search that an error ended
        if (bits_.size() * 64 < rows) bits_.resize((rows + 63) / 64);
    }
    bool insert(std::uint32_t row) {
        std::uint64_t& word = bits_[row / 64];
        const std::uint64_t bit = std::uint64_t{1} << (row % 64);
        if ((word & bit) != 0) return false;
        rows_.push_back(row);  // first: if that throws, no bit stays behind
        word |= bit;
        return true;
    }
    void end() {
        for (const auto row : rows_) bits_[row / 64] = 0;
        rows_.clear();
    }

private:
    std::vector<std::uint64_t> bits_;
    std::vector<std::uint32_t> rows_;
};

Seen& seen_rows() {
    thread_local Seen seen;
    return seen;
}

}  // namespace

// The best candidates so far, best first, and whether their neighbours were looked at.
struct HnswGraph::Beam {
    struct Candidate {
        float similarity;
        std::uint32_t row;
        bool expanded;
    };

    explicit Beam(std::size_t width) : width(width) { candidates.reserve(width + 1); }

    bool full() const { return candidates.size() == width; }

    // Where it was put; `width` when it is not among the best.
    std::size_t insert(float similarity, std::uint32_t row) {
        if (full() && !(similarity > candidates.back().similarity)) return width;
        if (full()) candidates.pop_back();
        const auto place = std::upper_bound(candidates.begin(), candidates.end(), similarity,
                                            [](float value, const Candidate& c) { return value > c.similarity; });
        return static_cast<std::size_t>(candidates.insert(place, {similarity, row, false}) - candidates.begin());
    }

    const std::size_t width;
    std::vector<Candidate> candidates;
};

HnswGraph::HnswGraph(ByteView file, std::size_t count, std::size_t dim, Scalar scalar, std::size_t threads)
    : count_(count),
      dim_(dim),
      row_bytes_(dim * scalar_bytes(scalar)),
      scalar_(scalar),
      pool_(threads == 0 ? available_cores() : threads) {
    // Divided, not multiplied: no product overflows, whatever a caller claims.
    constexpr std::size_t heads = matrix_at + head_bytes + graph_head_bytes;
    if (count == 0 || count > UINT32_MAX || dim == 0 || dim > max_dim || file.size() < heads ||
        (file.size() - heads) / count < row_bytes_ + 2)
        damaged("it is too short");
    const std::size_t graph_at = matrix_at + count * row_bytes_ + head_bytes;
    const std::size_t levels_at = graph_at + graph_head_bytes;
    const std::size_t nodes_at = levels_at + 2 * count;
    matrix_ = file.data() + matrix_at;
    nodes_ = file.data() + nodes_at;
    const std::uint8_t* graph = file.data() + graph_at;
    upper_room_ = load<std::uint64_t>(graph + 8);
    base_room_ = load<std::uint64_t>(graph + 16);
    top_level_ = load<std::uint64_t>(graph + 24);
    const auto entry = load<std::uint64_t>(graph + 32);
    if (load<std::uint64_t>(graph) != count || entry >= count || upper_room_ > UINT16_MAX || base_room_ > UINT16_MAX)
        damaged("its header does not fit it");
    entry_ = static_cast<std::uint32_t>(entry);
    levels_before_.reserve(count + 1);
    std::uint64_t levels = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto level = load<std::int16_t>(file.data() + levels_at + 2 * i);
        if (level < 0 || static_cast<std::size_t>(level) > top_level_) damaged("a level is impossible");
        levels_before_.push_back(static_cast<std::uint32_t>(levels));
        levels += static_cast<std::uint64_t>(level);
    }
    levels_before_.push_back(static_cast<std::uint32_t>(levels));
    const std::uint64_t base = node_head_bytes + link_bytes * (1 + base_room_);
    if (levels > UINT32_MAX || level_of(entry_) != top_level_ ||
        file.size() - nodes_at != count * base + levels * link_bytes * (1 + upper_room_))
        damaged("its size does not fit its header");
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

void HnswGraph::walk(const PreparedQuery& query, std::uint32_t start, Beam& beam) const {
    Seen& seen = seen_rows();
    seen.begin(count_);
    std::vector<std::uint32_t> fresh;
    fresh.reserve(base_room_);
    seen.insert(start);
    beam.insert(similarity(query, start), start);
    // Everything in front of `next` is expanded.
    for (std::size_t next = 0; next < beam.candidates.size();) {
        auto& candidate = beam.candidates[next];
        if (candidate.expanded) {
            ++next;
            continue;
        }
        candidate.expanded = true;
        const auto list = links(candidate.row, 0);
        fresh.clear();
        for (std::size_t i = 0; i < list.size() / link_bytes; ++i) {
            const std::uint32_t row = neighbour(list, i);
            if (!seen.insert(row)) continue;
            // Finds the pages of all of them; the rest of a vector follows `lookahead` vectors before it is compared.
            __builtin_prefetch(vector(row));
            __builtin_prefetch(&levels_before_[row]);
            fresh.push_back(row);
        }
        for (std::size_t i = 0; i < std::min(lookahead, fresh.size()); ++i) prefetch(vector(fresh[i]), row_bytes_);
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            if (i + lookahead < fresh.size()) prefetch(vector(fresh[i + lookahead]), row_bytes_);
            const std::size_t place = beam.insert(similarity(query, fresh[i]), fresh[i]);
            if (place == beam.width) continue;
            prefetch(node(fresh[i]), node_head_bytes + link_bytes * (1 + base_room_));
            next = std::min(next, place);
        }
    }
    seen.end();
}

void HnswGraph::keep_best(const PreparedQuery& query, std::vector<Hit>& hits, std::size_t k) const {
    for (auto& hit : hits) hit.score = query.cosine(vector(hit.row));
    const auto better = [](const Hit& a, const Hit& b) {
        return a.score != b.score ? a.score > b.score : a.row < b.row;
    };
    k = std::min(k, hits.size());
    std::partial_sort(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(k), hits.end(), better);
    hits.resize(k);
}

std::vector<Hit> HnswGraph::nearest(const PreparedQuery& query, std::size_t k, std::size_t expansion,
                                    std::size_t spare) const {
    const std::size_t compared = std::min(count_, k + spare);
    Beam beam(std::max({expansion, compared, std::size_t{1}}));
    walk(query, descend(query), beam);
    std::vector<Hit> hits;
    hits.reserve(compared);
    for (const auto& candidate : beam.candidates) {
        if (hits.size() == compared) break;
        hits.push_back({candidate.row, candidate.similarity});
    }
    keep_best(query, hits, k);
    return hits;
}

std::vector<std::vector<Hit>> HnswGraph::nearest(std::span<const float> queries, std::size_t k, std::size_t expansion,
                                                 std::size_t spare, const Poll& poll) const {
    std::vector<std::vector<Hit>> found(queries.size() / dim_);
    pool_.parallel_for(
        found.size(),
        [&](std::size_t i) {
            found[i] = nearest(PreparedQuery(queries.subspan(i * dim_, dim_), scalar_), k, expansion, spare);
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

std::vector<Hit> HnswGraph::exact(std::span<const float> query, std::optional<std::span<const std::int64_t>> rows,
                                  std::size_t k, const Poll& poll) const {
    const std::size_t size = rows ? rows->size() : count_;
    if (rows)
        for (const auto row : *rows)
            if (row < 0 || static_cast<std::uint64_t>(row) >= count_)
                throw Error(ErrorCode::config, "there is no row " + std::to_string(row));
    if (k == 0 || size == 0) return {};
    const PreparedQuery prepared(query, scalar_);
    std::vector<std::vector<Hit>> parts((size + scanned_rows - 1) / scanned_rows);
    pool_.parallel_for(
        parts.size(),
        [&](std::size_t part) {
            const std::size_t begin = part * scanned_rows, end = std::min(size, begin + scanned_rows);
            const auto listed = [&](std::size_t i) { return static_cast<std::uint32_t>((*rows)[i]); };
            const auto all = [](std::size_t i) { return static_cast<std::uint32_t>(i); };
            parts[part] = rows ? scan(prepared, listed, begin, end, k) : scan(prepared, all, begin, end, k);
        },
        poll);
    std::vector<Hit> hits;
    for (const auto& part : parts) hits.insert(hits.end(), part.begin(), part.end());
    keep_best(prepared, hits, k);
    return hits;
}

}  // namespace memvid
