#include <algorithm>
#include <cstdlib>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/png_frame.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr int width = 37, height = 20;
constexpr std::size_t row = (width + 7) / 8;

void append_chunk(Bytes& png, const char (&name)[5], ByteView body) {
    ByteWriter out(png);
    out.u32(static_cast<std::uint32_t>(body.size()));
    const std::size_t start = png.size();
    out.text(name);
    out.raw(body);
    out.u32(crc32(ByteView(png).subspan(start)));
}

// A zlib stream of stored blocks: no compressor has to be trusted.
Bytes zlib_stored(ByteView data) {
    Bytes out{0x78, 0x01};
    unsigned a = 1, b = 0;
    for (const auto byte : data) {
        a = (a + byte) % 65521;
        b = (b + a) % 65521;
    }
    out.push_back(1);
    const auto size = static_cast<unsigned>(data.size());
    for (const unsigned value : {size & 0xff, size >> 8, ~size & 0xff, ~size >> 8 & 0xff})
        out.push_back(static_cast<std::uint8_t>(value));
    out.insert(out.end(), data.begin(), data.end());
    ByteWriter(out).u32(b << 16 | a);
    return out;
}

struct Header {
    std::uint32_t width = testing_width, height = testing_height;
    std::uint8_t depth = 1, colour = 0, compression = 0, filter = 0, interlace = 0;
    static constexpr std::uint32_t testing_width = ::width, testing_height = ::height;
};

Bytes make_png(const Header& header, ByteView stream, std::size_t parts = 1) {
    Bytes png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, head;
    ByteWriter out(head);
    out.u32(header.width);
    out.u32(header.height);
    for (const auto field : {header.depth, header.colour, header.compression, header.filter, header.interlace})
        out.u8(field);
    append_chunk(png, "IHDR", head);
    append_chunk(png, "tEXt", to_bytes("Comment\0another chunk"));
    for (std::size_t part = 0; part < parts; ++part) {
        const std::size_t from = stream.size() * part / parts, to = stream.size() * (part + 1) / parts;
        append_chunk(png, "IDAT", stream.subspan(from, to - from));
    }
    append_chunk(png, "IEND", {});
    return png;
}

int paeth(int left, int up, int corner) {
    const int estimate = left + up - corner;
    const int a = std::abs(estimate - left), b = std::abs(estimate - up), c = std::abs(estimate - corner);
    return a <= b && a <= c ? left : b <= c ? up : corner;
}

// PNG filtering as the specification defines it; `filter_of(y)` is the type of row y.
template <typename Function>
Bytes filtered(const Bytes& pixels, Function filter_of) {
    Bytes out;
    for (std::size_t y = 0; y < height; ++y) {
        const int filter = filter_of(y);
        out.push_back(static_cast<std::uint8_t>(filter));
        for (std::size_t x = 0; x < row; ++x) {
            const auto at = [&](std::size_t column_back, std::size_t row_back) -> int {
                return x < column_back || y < row_back ? 0 : pixels[(y - row_back) * row + x - column_back];
            };
            const int left = at(1, 0), up = at(0, 1), corner = at(1, 1);
            const int predictions[] = {0, left, up, (left + up) / 2, paeth(left, up, corner)};
            out.push_back(static_cast<std::uint8_t>(pixels[y * row + x] - predictions[filter]));
        }
    }
    return out;
}

bool same_pixels(const BitImageView& image, const Bytes& pixels) {
    if (image.width != width || image.height != height) return false;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            const auto byte = pixels[static_cast<std::size_t>(y) * row + static_cast<std::size_t>(x / 8)];
            if (image.white(x, y) != ((byte >> (7 - x % 8) & 1) != 0)) return false;
        }
    return true;
}

}  // namespace

TEST(crc32_is_the_one_of_zlib) {
    CHECK_EQUAL(crc32(to_bytes("123456789")), 0xcbf43926U);
    CHECK_EQUAL(crc32({}), 0U);
    CHECK_EQUAL(crc32(to_bytes("6789"), crc32(to_bytes("12345"))), 0xcbf43926U);
}

TEST(every_filter_type_decodes) {
    const Bytes pixels = Random(7).bytes(row * height);
    PngDecoder decoder;
    for (int type = 0; type < 5; ++type) {
        const auto stream = zlib_stored(filtered(pixels, [&](std::size_t) { return type; }));
        const auto picture = decoder.decode(make_png({}, stream), width, height);
        CHECK(picture && picture->intact && same_pixels(picture->image, pixels));
    }
    const auto mixed = zlib_stored(filtered(pixels, [](std::size_t y) { return static_cast<int>((y + 4) % 5); }));
    const auto picture = decoder.decode(make_png({}, mixed), width, height);
    CHECK(picture && same_pixels(picture->image, pixels));
    auto unknown = filtered(pixels, [](std::size_t) { return 0; });
    unknown[3 * (row + 1)] = 5;
    CHECK(!decoder.decode(make_png({}, zlib_stored(unknown)), width, height));
}

TEST(a_stream_in_several_chunks_decodes) {
    const Bytes pixels = Random(8).bytes(row * height);
    const auto stream = zlib_stored(filtered(pixels, [](std::size_t) { return 2; }));
    PngDecoder decoder;
    for (const std::size_t parts : {2, 3, 50, 500}) {  // with more parts than bytes some are empty
        const auto picture = decoder.decode(make_png({}, stream, parts), width, height);
        CHECK(picture && same_pixels(picture->image, pixels));
    }
    CHECK(!decoder.decode(make_png({}, stream, 0), width, height));
}

TEST(other_pictures_are_refused) {
    const auto stream = zlib_stored(Bytes((row + 1) * height));
    PngDecoder decoder;
    CHECK(decoder.decode(make_png({}, stream), width, height));
    CHECK(!decoder.decode(make_png({}, {}), width, height));
    CHECK(!decoder.decode(make_png({}, stream, 0), width, height));
    CHECK(!decoder.decode(make_png({.width = width + 1}, stream), width, height));
    CHECK(!decoder.decode(make_png({.height = height + 1}, stream), width, height));
    CHECK(!decoder.decode(make_png({.depth = 8}, stream), width, height));
    CHECK(!decoder.decode(make_png({.colour = 3}, stream), width, height));
    CHECK(!decoder.decode(make_png({.compression = 1}, stream), width, height));
    CHECK(!decoder.decode(make_png({.filter = 1}, stream), width, height));
    CHECK(!decoder.decode(make_png({.interlace = 1}, stream), width, height));
    CHECK(!decoder.decode(make_png({}, zlib_stored(Bytes((row + 1) * height - 1))), width, height));
    CHECK(!decoder.decode(make_png({}, zlib_stored(Bytes((row + 1) * height + 1))), width, height));
    CHECK(!decoder.decode({}, width, height));
    CHECK(!decoder.decode(to_bytes("GIF89a, not a PNG at all, and long enough to be one"), width, height));
}

TEST(damage_is_caught_or_harmless) {
    const Bytes pixels = Random(9).bytes(row * height);
    const auto png = make_png({}, zlib_stored(filtered(pixels, [](std::size_t) { return 1; })), 2);
    PngDecoder decoder;
    for (std::size_t size = 0; size < png.size(); ++size) {
        // From memory of exactly that size, so that a sanitizer sees a read beyond it.
        const Bytes cut(png.begin(), png.begin() + static_cast<std::ptrdiff_t>(size));
        const auto picture = decoder.decode(cut, width, height);
        CHECK(picture.has_value() == (size >= png.size() - 12));
    }
    for (std::size_t bit = 0; bit < png.size() * 8; ++bit) {
        Bytes damaged = png;
        damaged[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        const auto picture = decoder.decode(damaged, width, height);
        if (picture && picture->intact) CHECK(same_pixels(picture->image, pixels));
    }
    Random random(10);
    for (int round = 0; round < 5000; ++round) {
        Bytes damaged = png;
        for (std::size_t i = random.below(8) + 1; i > 0; --i)
            damaged[random.below(damaged.size())] = static_cast<std::uint8_t>(random.next());
        decoder.decode(damaged, width, height);
    }
    for (const std::uint32_t length : {0U, 1U, 0x7fffffffU, 0x80000000U, 0xfffffff4U, 0xffffffffU}) {
        for (std::size_t at = 8; at + 4 <= png.size(); ++at) {
            Bytes damaged = png;
            store_be32(damaged.data() + at, length);
            decoder.decode(damaged, width, height);
        }
    }
}

TEST(frames_of_every_version_come_back) {
    PngEncoder encoder;
    PngDecoder decoder;
    for (int version = min_symbol_version; version <= max_symbol_version; ++version) {
        const auto geometry = frame_geometry(version);
        const int side = geometry.symbol.side();
        CHECK(geometry.width % 2 == 0 && geometry.height % 2 == 0);
        CHECK(geometry.symbol.left >= 4 && geometry.symbol.top >= 4);
        CHECK(geometry.width - geometry.symbol.left - side >= 4 && geometry.height - geometry.symbol.top - side >= 4);
        Symbol symbol{side, Bytes(static_cast<std::size_t>(side * side))};
        Random random(static_cast<std::uint64_t>(version));
        for (auto& module : symbol.modules) module = random.next() & 1;
        const Bytes png = encoder.encode(symbol, geometry);
        CHECK(png == encoder.encode(symbol, geometry));
        const auto picture = decoder.decode(png, geometry.width, geometry.height);
        CHECK(picture && picture->intact);
        const Bytes grey = to_grey(picture->image);
        for (int y = 0; y < geometry.height; ++y)
            for (int x = 0; x < geometry.width; ++x) {
                const int column = x - geometry.symbol.left, line = y - geometry.symbol.top;
                const bool inside = column >= 0 && column < side && line >= 0 && line < side;
                const bool black = inside && symbol.modules[static_cast<std::size_t>(line * side + column)] != 0;
                CHECK_EQUAL(grey[static_cast<std::size_t>(y * geometry.width + x)], black ? 0 : 255);
            }
    }
}

TEST(grey_pictures_are_enlarged) {
    const std::uint8_t bits[] = {0x80, 0xff, 0x40};  // two rows of one byte, one byte in between that is not theirs
    const Bytes grey = to_grey({bits, 2, 2, 2}, 3);
    CHECK_EQUAL(grey.size(), 36U);
    for (std::size_t y = 0; y < 6; ++y)
        for (std::size_t x = 0; x < 6; ++x) CHECK_EQUAL(grey[y * 6 + x], x / 3 == y / 3 ? 255 : 0);
}
