// The decoder of pictures: any bytes, and rows of pixels that are compressed right, so that the filters see them.
#include <libdeflate.h>

#include <memory>

#include "fuzz.hpp"
#include "memvid/png_frame.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, sound_stream, modes };

constexpr int small_side = 64, large_side = 400;  // the largest frame of ours has 194 pixels

void put_chunk(Bytes& png, const char (&name)[5], ByteView body, bool sound) {
    ByteWriter out(png);
    out.u32(static_cast<std::uint32_t>(body.size()));
    const std::size_t start = png.size();
    out.text(name);
    out.raw(body);
    out.u32(crc32(ByteView(png).subspan(start)) ^ (sound ? 0U : 1U));
}

Bytes compressed(ByteView raw) {
    static const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(
        libdeflate_alloc_compressor(1), libdeflate_free_compressor);
    Bytes stream(libdeflate_zlib_compress_bound(compressor.get(), raw.size()));
    stream.resize(libdeflate_zlib_compress(compressor.get(), raw.data(), raw.size(), stream.data(), stream.size()));
    return stream;
}

// A picture of the rows that follow in the input, repeated to `height`; how it is cut up is the input's, too.
Bytes picture_of(Input& input, int width, int height) {
    const std::uint8_t parts = input.u8();
    const ByteView rows = input.rest();
    Bytes raw(((static_cast<std::size_t>(width) + 7) / 8 + 1) * static_cast<std::size_t>(height));
    for (std::size_t i = 0; i < raw.size() && !rows.empty(); ++i) raw[i] = rows[i % rows.size()];
    if ((parts & 0x40) != 0) raw.resize(raw.size() - std::min<std::size_t>(raw.size(), 1));
    if ((parts & 0x80) != 0) raw.push_back(0);
    const Bytes stream = compressed(raw);
    Bytes png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header;
    ByteWriter out(header);
    out.u32(static_cast<std::uint32_t>(width));
    out.u32(static_cast<std::uint32_t>(height));
    out.u8(1);
    out.zeros(4);
    put_chunk(png, "IHDR", header, (parts & 0x20) == 0);
    const std::size_t part = std::max<std::size_t>(stream.size() / (1 + (parts & 7U)), 1);
    for (std::size_t at = 0; at < stream.size(); at += part)
        put_chunk(png, "IDAT", ByteView(stream).subspan(at, std::min(part, stream.size() - at)), (parts & 0x10) == 0);
    if ((parts & 8) == 0) put_chunk(png, "IEND", {}, true);
    return png;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static PngDecoder decoder;
    Input input(data, size);
    const auto mode = static_cast<Mode>(input.u8() % modes);
    const std::uint16_t w = input.u16(), h = input.u16();
    const int limit = (w & 0xff) == 0xff ? large_side : small_side;
    const int width = 1 + w % limit, height = 1 + h % limit;
    const Bytes png = mode == any_bytes ? copy_of(input.rest()) : picture_of(input, width, height);
    const auto picture = decoder.decode(png, width, height);
    if (!picture) return 0;
    require(picture->image.width == width && picture->image.height == height, "a picture is of the size asked for");
    const Bytes grey = to_grey(picture->image);
    require(grey.size() == static_cast<std::size_t>(width) * static_cast<std::size_t>(height), "every pixel is there");
    return 0;
}
