// Symbols: any modules through the walk and through zxing-cpp, and payloads that must come back by both.
#include <cstdlib>
#include <iterator>
#include <memory>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/qr_code.hpp"
#include "memvid/symbol_reader.hpp"
#include "memvid/symbol_writer.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { walked, corrected, detected, created };
constexpr Mode mode_of[] = {detected, corrected, corrected, created, created, walked, walked, walked,
                            walked,   walked,    walked,    walked,  walked,  walked, walked, walked};

constexpr int quiet = 4;

// Small symbols mostly: what happens in a large one is the same, more slowly.
int version_of(std::uint8_t byte) { return 1 + byte % (byte < 0xf0 ? 8 : max_symbol_version); }

// The bits of a picture, with a symbol's fixed parts drawn over them where `drawn` says so.
struct Picture {
    Picture(int version, ByteView content)
        : side(4 * version + 17 + 2 * quiet),
          stride((static_cast<std::size_t>(side) + 7) / 8),
          bits(stride * static_cast<std::size_t>(side), 0xff) {
        for (std::size_t i = 0; i < bits.size() && !content.empty(); ++i) bits[i] = content[i % content.size()];
    }

    void set(int x, int y, bool black) {
        auto& byte = bits[static_cast<std::size_t>(y) * stride + static_cast<std::size_t>(x >> 3)];
        const auto bit = static_cast<std::uint8_t>(0x80 >> (x & 7));
        byte = static_cast<std::uint8_t>(black ? byte & ~bit : byte | bit);
    }
    BitImageView view() const { return {bits.data(), side, side, stride}; }

    int side;
    std::size_t stride;
    Bytes bits;
};

// ISO/IEC 18004, 7.9: level and mask, both copies.
void draw_format(Picture& picture, int format) {
    int remainder = format;
    for (int i = 0; i < 10; ++i) remainder = remainder << 1 ^ (remainder >> 9) * 0x537;
    const int word = (format << 10 | remainder) ^ 0x5412;
    const int side = picture.side - 2 * quiet;
    const auto put = [&](int x, int y, int bit) { picture.set(x + quiet, y + quiet, (word >> bit & 1) != 0); };
    for (int i = 0; i < 6; ++i) put(8, i, i);
    put(8, 7, 6);
    put(8, 8, 7);
    put(7, 8, 8);
    for (int i = 9; i < 15; ++i) put(14 - i, 8, i);
    for (int i = 0; i < 8; ++i) put(side - 1 - i, 8, i);
    for (int i = 8; i < 15; ++i) put(8, side - 15 + i, i);
}

void draw_finders(Picture& picture) {
    const int side = picture.side - 2 * quiet;
    for (int y = -quiet; y < side + quiet; ++y)
        for (int x = -quiet; x < side + quiet; ++x)
            if (x < 0 || y < 0 || x >= side || y >= side) picture.set(x + quiet, y + quiet, false);
    const int corners[3][2] = {{0, 0}, {side - 7, 0}, {0, side - 7}};
    for (const auto& corner : corners)
        for (int y = -1; y <= 7; ++y)
            for (int x = -1; x <= 7; ++x) {
                const int ring = std::max(std::abs(x - 3), std::abs(y - 3));
                const int at_x = corner[0] + x, at_y = corner[1] + y;
                if (at_x >= 0 && at_y >= 0 && at_x < side && at_y < side)
                    picture.set(at_x + quiet, at_y + quiet, ring != 2 && ring != 4);
            }
    for (int i = 8; i < side - 8; ++i) {
        picture.set(i + quiet, 6 + quiet, i % 2 == 0);
        picture.set(6 + quiet, i + quiet, i % 2 == 0);
    }
}

std::optional<Bytes> read_grey(const BitImageView& image, int scale, Detection detection) {
    const Bytes grey = to_grey(image, scale);
    return read_symbol(
        {grey.data(), image.width * scale, image.height * scale, static_cast<std::size_t>(image.width * scale)},
        detection);
}

const SymbolReader& reader_of(const Picture& picture, int version) {
    static std::unique_ptr<const SymbolReader> known[max_symbol_version + 1];
    auto& reader = known[version];
    if (!reader) reader = std::make_unique<const SymbolReader>(SymbolGeometry{version, quiet, quiet}, picture.stride);
    return *reader;
}

void read_modules(Mode mode, Input& input) {
    const std::uint8_t first = input.u8(), format = input.u8();
    const int version = mode == detected ? 1 + first % 2 : version_of(first);
    Picture picture(version, input.rest());
    if (mode != walked || (format & 0x80) != 0) draw_finders(picture);
    if ((format & 0x40) == 0) draw_format(picture, format & 0x1f);
    if (mode == detected) {
        read_grey(picture.view(), first < 0x80 ? 1 : 3, Detection::full);
        return;
    }
    const auto payload = reader_of(picture, version).read(picture.view());
    require(!payload || payload->size() <= 7089, "no symbol holds more than 7089 characters");
    if (mode == corrected && (payload || one_in(4, picture.bits.data(), picture.bits.size())))
        read_grey(picture.view(), 1, Detection::pure);
}

void create_and_read(Input& input) {
    SymbolOptions options;
    options.version = 1 + input.u8() % 12;  // a test creates and reads symbols of all versions
    const std::uint8_t kind = input.u8();
    options.level = static_cast<ErrorCorrection>(kind & 3);
    options.data_mask = kind >> 2 & 7;
    options.utf8 = (kind & 0x20) != 0;
    const Bytes payload = copy_of(input.rest());
    const Symbol symbol = create_symbol(payload, options);
    Picture picture(options.version, {});
    for (int y = 0; y < symbol.side; ++y)
        for (int x = 0; x < symbol.side; ++x)
            picture.set(x + quiet, y + quiet, symbol.modules[static_cast<std::size_t>(y * symbol.side + x)] != 0);
    const auto walked_out = reader_of(picture, options.version).read(picture.view());
    require(walked_out == payload, "a walk reads what was drawn");
    require(read_grey(picture.view(), 1, Detection::pure) == payload, "zxing-cpp reads what was drawn");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    Mode mode = mode_of[input.u8() % std::size(mode_of)];
    if (mode == detected && !one_in(8, data, size)) mode = corrected;
    if (mode == created && !one_in(4, data, size)) mode = walked;
    try {
        if (mode == created)
            create_and_read(input);
        else
            read_modules(mode, input);
    } catch (const Error& error) {
        require(error.code() == ErrorCode::config || error.code() == ErrorCode::too_large, "only options can be wrong");
    }
    return 0;
}
