// Create and read single QR codes with zxing-cpp.
#pragma once

#include <cstdint>
#include <optional>

#include "memvid/bit_image.hpp"
#include "memvid/bytes.hpp"
#include "memvid/qr_layout.hpp"

namespace memvid {

// What the byte content is declared as, by an ECI designator.
enum class Content : std::uint8_t { binary, utf8 };

struct SymbolOptions {
    int version = 40;
    ErrorCorrection level = ErrorCorrection::L;
    int data_mask = 0;  // 0 to 7, or -1 to try all eight and take the best
    Content content = Content::binary;
};

// Bytes that surely fit into one symbol.
int symbol_capacity(const SymbolOptions& options);

// A symbol's modules without a quiet zone, one byte each, 1 = black, row by row.
struct Symbol {
    int side = 0;
    Bytes modules;
};

// Throws Error(too_large) when the payload does not fit.
Symbol create_symbol(ByteView payload, const SymbolOptions& options);

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
