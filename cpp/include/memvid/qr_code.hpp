// Reads QR codes with zxing-cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "memvid/bytes.hpp"

namespace memvid {

// How much a reader may assume and how long it may try.
enum class Detection : std::uint8_t {
    pure,  // one upright symbol, sharp and black on white, nothing else in the picture
    full,  // the detector: rotated, distorted, noisy, from a camera
};

struct GreyImageView {
    const std::uint8_t* data = nullptr;
    int width = 0;
    int height = 0;
    std::size_t stride = 0;
};

// The content bytes of the symbol in the picture, errors corrected; nothing when there is none that can be read.
// The full detector does not look at pictures with hundreds of finder patterns, which would keep it busy for minutes.
// `work`: what it took, in pixels; about 10 ns each.
std::optional<Bytes> read_symbol(const GreyImageView& image, Detection detection, std::int64_t* work = nullptr);

}  // namespace memvid
