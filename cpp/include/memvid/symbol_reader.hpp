// Reads a perfect symbol of known place by walking a table of where its bits stand: no binarizer, no detector, no error
// correction. The caller's checksum says whether it was perfect.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "memvid/bit_image.hpp"
#include "memvid/bytes.hpp"
#include "memvid/module_walk.hpp"
#include "memvid/qr_layout.hpp"

namespace memvid {

// Reads symbols of one version out of pictures of one width.
class SymbolReader {
public:
    // `stride`: bytes a row of the pictures.
    SymbolReader(const SymbolGeometry& geometry, std::size_t stride);

    // The content bytes, without an ECI designator, or nothing when the format bits or the segments are not sound.
    // No error is corrected: a wrong module is a wrong byte.
    std::optional<Bytes> read(const BitImageView& image) const;

private:
    struct LevelTable {
        std::vector<std::uint16_t> destination;  // of each data codeword, in the order it is drawn
    };

    std::optional<int> read_format(const BitImageView& image) const;

    SymbolGeometry geometry_;
    std::size_t stride_;
    ModuleWalk walk_;
    std::array<std::vector<std::uint8_t>, 8> masks_;  // per data mask: what to xor each codeword with
    std::array<LevelTable, 4> levels_;
};

}  // namespace memvid
