// Grey pictures of other codecs: any pixels, and drawn symbols that were written over.
#include <map>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/grey_symbol.hpp"
#include "memvid/picture_reader.hpp"
#include "memvid/symbol_writer.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_pixels, drawn, read_whole };
constexpr Mode mode_of[] = {any_pixels, any_pixels, drawn, drawn, drawn, drawn, drawn, read_whole};

const Symbol& symbol_of(int version) {
    static std::map<int, Symbol> known;
    auto& symbol = known[version];
    if (symbol.side == 0) {
        SymbolOptions options;
        options.version = version;
        symbol = create_symbol(Bytes{'n', 'o', ' ', 'p', 'a', 'g', 'e'}, options);
    }
    return symbol;
}

GreyPicture draw(Input& input) {
    const std::uint8_t shape = input.u8();
    const int scale = 1 + (shape & 3) % 3;
    const Symbol& symbol = symbol_of(1 + (shape >> 2) % 4);
    const int width = (symbol.side + 8) * scale + input.u8() % 32, height = (symbol.side + 8) * scale + input.u8() % 32;
    GreyPicture picture{width, height, Bytes(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 235)};
    for (int y = 0; y < symbol.side * scale; ++y)
        for (int x = 0; x < symbol.side * scale; ++x)
            if (symbol.modules[static_cast<std::size_t>(y / scale * symbol.side + x / scale)] != 0)
                picture.pixels[static_cast<std::size_t>((y + 4 * scale) * width + x + 4 * scale)] = 16;
    while (!input.empty()) {  // runs of pixels that were written over
        const std::size_t at = input.u16() % picture.pixels.size(), length = input.u8();
        const std::uint8_t grey = input.u8();
        std::fill_n(picture.pixels.begin() + static_cast<std::ptrdiff_t>(at),
                    std::min(length, picture.pixels.size() - at), grey);
    }
    return picture;
}

GreyPicture plain(Input& input) {
    const int width = 1 + input.u8() % 64, height = 1 + input.u8() % 64;
    GreyPicture picture{width, height, Bytes(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 255)};
    const ByteView pixels = input.rest();
    for (std::size_t i = 0; i < picture.pixels.size() && !pixels.empty(); ++i)
        picture.pixels[i] = pixels[i % pixels.size()];
    return picture;
}

void sample(const GreyPicture& picture) {
    const auto found = locate_grey_symbol(picture.view());
    if (!found) return;
    require(found->version >= 1 && found->version <= 40, "a symbol that is found has a version");
    const SymbolReader reader(SampledSymbol::place(found->version), SampledSymbol::stride(found->version));
    for (const auto sampling : {Sampling::centre, Sampling::area, Sampling::sharpened})
        reader.read(SampledSymbol(picture.view(), *found, sampling).view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::uint8_t first = input.u8();
    const Mode mode = mode_of[first % 8];
    const GreyPicture picture = mode == any_pixels || first >= 0x80 ? plain(input) : draw(input);
    sample(picture);
    if (mode != read_whole || !one_in(16, data, size)) return 0;  // it ends in zxing-cpp's detector
    const auto fetch = [&](std::span<const std::size_t> frames) {
        return std::vector<GreyPicture>(frames.size(), picture);
    };
    PictureReader reader(fetch, 1, 1, std::make_shared<DetectionBudget>(std::int64_t{1} << 40));
    const std::int64_t indices[] = {0, 0};
    const auto batch = reader.read(indices, first < 0x40 ? Decoder::corrected : Decoder::automatic, {});
    require(batch.results.size() == 1, "every frame is read once");
    for (const auto& result : batch.results)
        require(result.status == FrameStatus::ok || result.payload.empty(), "what is not read has no payload");
    return 0;
}
