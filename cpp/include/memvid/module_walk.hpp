// Gathers the codewords of a symbol of known place, module by module, in the order in which they are drawn.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memvid/bit_image.hpp"
#include "memvid/bytes.hpp"

namespace memvid {

class ModuleWalk {
public:
    // Whether this processor takes whole columns of modules at a time: a quarter of the time.
    static bool can_take_columns();

    // `stride`: bytes a row of the pictures. `columns` must be false where the processor cannot.
    ModuleWalk(const SymbolGeometry& geometry, std::size_t stride, bool columns = can_take_columns());

    // The first codewords drawn, as many as `out` has room for: at most those of level L that carry data. White is 1.
    // The picture has the stride, and the symbol is inside of it.
    void read(const BitImageView& image, std::span<std::uint8_t> out) const;

private:
    static constexpr std::size_t most_rows = 192, most_bytes = 24;  // of the largest symbol, and more
    static constexpr std::size_t rows_a_group = 32;

    // Two columns, which are walked together: of each row the right module, then the left one.
    struct Strip {
        int right = 0;        // column of the symbol
        bool upward = false;  // rows are walked from the last one to the first
        // Which modules are data: of 32 rows each, in the order of the walk, what comes first on top.
        std::array<std::uint64_t, most_rows / rows_a_group> data{};
    };

    static std::size_t groups_of(std::size_t side) { return (side + rows_a_group - 1) / rows_a_group; }

    void read_columns(const BitImageView& image, std::span<std::uint8_t> out) const;
    void read_modules(const BitImageView& image, std::span<std::uint8_t> out) const;

    SymbolGeometry geometry_;
    std::size_t stride_;
    std::vector<Strip> strips_;                 // where columns are taken
    std::vector<std::uint32_t> bit_positions_;  // where they are not: of each data bit its offset in the picture
};

}  // namespace memvid
