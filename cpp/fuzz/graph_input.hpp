// What the fuzz targets of graphs share, in one file format or the other.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "fuzz.hpp"
#include "memvid/hnsw_graph.hpp"

namespace memvid::fuzzing {

struct GraphShape {
    Scalar scalar;
    std::size_t dim, nodes, copies;

    std::size_t rows() const { return nodes + copies; }
};

// Rows that are copies, ascending by small steps, and their nodes, which are often there.
inline void put_copies(Bytes& file, Input& input, std::size_t copies) {
    if (copies == 0) return;
    for (const char letter : {'c', 'o', 'p', 'i', 'e', 's', '\0', '\1'}) put(file, letter);
    put(file, std::uint64_t{copies});
    std::uint32_t row = 0;
    for (std::size_t i = 0; i < copies; ++i) put(file, row += 1 + input.u8() % 4);
    for (std::size_t i = 0; i < copies; ++i) put(file, static_cast<std::uint32_t>(input.u8() % (i + 2)));
}

inline void put_links(Bytes& file, Input& input, std::uint32_t room, std::size_t count) {
    const std::uint8_t used = input.u8();
    put(file, used == 0xff ? input.u32() : std::uint32_t{used} % (room + 1));
    for (std::uint32_t i = 0; i < room; ++i) {
        const std::uint8_t row = input.u8();
        put(file, row == 0xff ? input.u32() : static_cast<std::uint32_t>(row % count));
    }
}

// A usearch file that fits its headers; what stands in it is the input's.
inline Bytes fitting_usearch(Input& input, const GraphShape& shape) {
    const std::size_t count = shape.nodes, row_bytes = shape.dim * scalar_bytes(shape.scalar);
    const std::uint32_t base_room = 1 + input.u8() % 8, upper_room = 1 + input.u8() % 4;
    Bytes file, levels(count);
    for (auto& level : levels) level = input.u8() % 4;
    const std::size_t entry = input.u8() % count;
    levels[entry] = *std::max_element(levels.begin(), levels.end());
    const std::uint8_t lie = input.u8();
    put(file, static_cast<std::uint32_t>(count));
    put(file, static_cast<std::uint32_t>(row_bytes));
    for (std::size_t i = 0; i < count * row_bytes; ++i) file.push_back(input.u8());
    file.resize(file.size() + 64);
    const std::uint64_t head[] = {count, upper_room, base_room, levels[entry], entry};
    for (const auto number : head) put(file, number);
    for (const auto level : levels) put(file, static_cast<std::int16_t>(level));
    for (std::size_t i = 0; i < count; ++i) {
        put(file, static_cast<std::uint64_t>(i));
        put(file, static_cast<std::int16_t>(levels[i]));
        put_links(file, input, base_room, count);
        for (std::uint8_t level = 0; level < levels[i]; ++level) put_links(file, input, upper_room, count);
    }
    put_copies(file, input, shape.copies);
    if (lie < 0x20) file.resize(file.size() - lie);
    if (lie >= 0xf0) file[input.u16() % file.size()] = input.u8();
    return file;
}

// The same of codes.
inline Bytes fitting_codes(Input& input, const GraphShape& shape) {
    const RowCoder coder(shape.dim, shape.scalar);
    const std::uint64_t connectivity = shape.scalar == Scalar::code4 ? 1 + input.u8() % 5 : 0;
    Bytes levels(shape.nodes), base(shape.nodes), upper;
    std::uint64_t base_links = 0, upper_links = 0, top_level = 0, entry = 0;
    if (connectivity > 0) {
        for (auto& level : levels) level = input.u8() % 4;
        for (std::size_t node = 0; node < shape.nodes; ++node) {
            if (levels[node] > top_level) entry = node, top_level = levels[node];
            base_links += base[node] = static_cast<std::uint8_t>(input.u8() % (2 * connectivity + 1));
            for (int level = 0; level < levels[node]; ++level)
                upper_links += upper.emplace_back(static_cast<std::uint8_t>(input.u8() % (connectivity + 1)));
        }
    }
    Bytes file;
    for (const char letter : {'M', 'V', 'C', 'O', 'D', 'E', 'S', '1'}) put(file, letter);
    put(file, static_cast<std::uint32_t>(code_bits(shape.scalar)));
    put(file, static_cast<std::uint32_t>(shape.dim));
    for (const std::uint64_t number : {std::uint64_t{shape.nodes}, connectivity, top_level, entry,
                                       std::uint64_t{upper.size()}, base_links, upper_links})
        put(file, number);
    file.resize(128);
    for (std::size_t node = 0; node < shape.nodes; ++node) {
        const std::uint8_t kind = input.u8();
        put(file, kind == 0xff ? input.u32() : std::bit_cast<std::uint32_t>(static_cast<float>(kind) / 1000));
        for (std::size_t i = 4; i < coder.row_bytes(); ++i) file.push_back(input.u8());
    }
    if (connectivity > 0) {
        for (const auto& part : {levels, base, upper}) file.insert(file.end(), part.begin(), part.end());
        const std::size_t bits = (base_links + upper_links) * NodeLinks::link_bits(shape.nodes);
        for (std::size_t i = 0; i < (bits + 7) / 8; ++i) file.push_back(input.u8());
        file.resize(file.size() + NodeLinks::packed_padding);
    }
    put_copies(file, input, shape.copies);
    const std::uint8_t lie = input.u8();
    if (lie >= 0x80 && lie < 0xa0) file.resize(file.size() - (lie - 0x80));
    if (lie >= 0xe0) file[input.u16() % file.size()] = input.u8();
    return file;
}

inline Bytes fitting_graph(Input& input, const GraphShape& shape) {
    return is_code(shape.scalar) ? fitting_codes(input, shape) : fitting_usearch(input, shape);
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
