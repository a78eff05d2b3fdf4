// What the fuzz targets of graphs share, in one file format or the other.
#pragma once

#include <cmath>
#include <vector>

#include "fuzz.hpp"
#include "memvid/hnsw_graph.hpp"

namespace memvid::fuzzing {

template <typename T>
void put(Bytes& out, T value) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
}

// Rows that are copies, ascending by small steps, and their nodes, which are often there.
inline void put_copies(Bytes& file, Input& input, std::size_t copies) {
    if (copies == 0) return;
    for (const char letter : {'c', 'o', 'p', 'i', 'e', 's', '\0', '\1'}) put(file, letter);
    put(file, std::uint64_t{copies});
    std::uint32_t row = 0;
    for (std::size_t i = 0; i < copies; ++i) put(file, row += 1 + input.u8() % 4);
    for (std::size_t i = 0; i < copies; ++i) put(file, static_cast<std::uint32_t>(input.u8() % (i + 2)));
}

inline void check(const std::vector<Hit>& hits, std::size_t rows) {
    for (std::size_t i = 0; i < hits.size(); ++i) {
        require(hits[i].row < rows && std::isfinite(hits[i].score), "a hit is a row with a score");
        require(i == 0 || hits[i - 1].score >= hits[i].score, "hits come best first");
    }
}

inline void check_exact(const HnswGraph& graph, const std::vector<float>& query, std::size_t k, std::size_t rows) {
    const auto all = graph.exact(query, std::nullopt, k, false, {});
    require(all.size() == std::min(k, rows), "an exact search finds as many as there are");
    check(all, rows);
}

inline void check_nearest(const HnswGraph& graph, const std::vector<float>& query, std::size_t k,
                          std::size_t expansion, std::size_t spare, const Wanted& wanted, std::size_t rows) {
    for (const auto& hits : graph.nearest(query, k, expansion, spare, wanted, {})) {
        require(hits.size() <= k, "a search finds at most k");
        check(hits, rows);
        for (const auto& hit : hits)
            require(wanted.allowed == nullptr || wanted.allowed->has(hit.row), "a search finds what it may");
    }
}

}  // namespace memvid::fuzzing
