// A black-and-white picture, one bit a pixel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memvid/bytes.hpp"

namespace memvid {

// Rows of `stride` bytes, most significant bit leftmost, 1 = white (as a 1-bit greyscale PNG has it).
struct BitImageView {
    const std::uint8_t* data = nullptr;
    int width = 0;
    int height = 0;
    std::size_t stride = 0;

    bool white(int x, int y) const {
        return data[static_cast<std::size_t>(y) * stride + static_cast<std::size_t>(x >> 3)] >> (7 - (x & 7)) & 1;
    }
};

// Where the one symbol of a frame lies, in pixels of one module each; the same for every frame of a video.
struct SymbolGeometry {
    int version = 0;
    int left = 0;
    int top = 0;

    int side() const { return 4 * version + 17; }
    friend bool operator==(const SymbolGeometry&, const SymbolGeometry&) = default;
};

// One byte a pixel, 0 black and 255 white, every pixel repeated `scale` times both ways.
Bytes to_grey(const BitImageView& image, int scale = 1);

}  // namespace memvid
