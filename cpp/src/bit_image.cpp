#include "memvid/bit_image.hpp"

#include <algorithm>

namespace memvid {

Bytes to_grey(const BitImageView& image, int scale) {
    const auto width = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(scale);
    Bytes grey(width * static_cast<std::size_t>(image.height) * static_cast<std::size_t>(scale));
    auto row = grey.begin();
    for (int y = 0; y < image.height; ++y) {
        auto pixel = row;
        for (int x = 0; x < image.width; ++x)
            pixel = std::fill_n(pixel, scale, static_cast<std::uint8_t>(image.white(x, y) ? 255 : 0));
        for (int copy = 1; copy < scale; ++copy)
            pixel = std::copy(row, row + static_cast<std::ptrdiff_t>(width), pixel);
        row = pixel;
    }
    return grey;
}

}  // namespace memvid
