// 1-bit greyscale PNG pictures, as frames of a video: writing one, and reading whatever encoder wrote it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "memvid/bit_image.hpp"
#include "memvid/bytes.hpp"
#include "memvid/symbol_writer.hpp"

struct libdeflate_compressor;
struct libdeflate_decompressor;

namespace memvid {

// CRC-32 as zlib and PNG have it; `seed` is the checksum of what came before.
std::uint32_t crc32(ByteView bytes, std::uint32_t seed = 0);

// How a video's frames look: one symbol at one place, a white border of at least four modules around it.
struct FrameGeometry {
    int width = 0;
    int height = 0;
    SymbolGeometry symbol;
};

// The geometry of new videos: even sides, and the symbol put where its rows cost the fewest bytes.
FrameGeometry frame_geometry(int symbol_version);

// Encodes frames; one for each thread.
class PngEncoder {
public:
    PngEncoder();
    ~PngEncoder();
    PngEncoder(PngEncoder&&) noexcept;

    Bytes encode(const Symbol& symbol, const FrameGeometry& geometry);
    // Any picture: rows of one byte a pixel, 0 black, else white.
    Bytes encode(ByteView pixels, int width, int height);

private:
    // White rows of a picture, each behind its filter type.
    void clear(int width, int height);
    Bytes compress(int width, int height);

    std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor_;
    Bytes raw_;
};

// Decodes frames; one for each thread. The picture returned lives until the next call.
class PngDecoder {
public:
    PngDecoder();
    ~PngDecoder();
    PngDecoder(PngDecoder&&) noexcept;

    struct Picture {
        BitImageView image;
        bool intact = true;  // false when a chunk's CRC is wrong: the pixels may still do
    };

    // Nothing when the bytes are not a 1-bit greyscale PNG of `width` x `height` that inflates to all its rows.
    std::optional<Picture> decode(ByteView png, int width, int height);

private:
    std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor_;
    Bytes raw_;
    Bytes joined_;  // the parts of a stream that is spread over several IDAT chunks
};

}  // namespace memvid
