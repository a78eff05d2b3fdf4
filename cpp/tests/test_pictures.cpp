#include <algorithm>
#include <vector>

#include "check.hpp"
#include "memvid/grey_symbol.hpp"
#include "memvid/picture_reader.hpp"
#include "memvid/symbol_writer.hpp"

using namespace memvid;

namespace {

const Bytes text{'n', 'o', ' ', 'p', 'a', 'g', 'e'};

// A symbol as a lossy codec gets it: `scale` pixels a module, sides of whole macroblocks, black and white of
// television.
GreyPicture draw(int version, int scale) {
    SymbolOptions options;
    options.version = version;
    const Symbol symbol = create_symbol(text, options);
    const int side = ((symbol.side + 8) * scale + 15) / 16 * 16;
    GreyPicture picture{side, side, Bytes(static_cast<std::size_t>(side * side), 235)};
    for (int y = 0; y < symbol.side * scale; ++y)
        for (int x = 0; x < symbol.side * scale; ++x)
            if (symbol.modules[static_cast<std::size_t>(y / scale * symbol.side + x / scale)] != 0)
                picture.pixels[static_cast<std::size_t>((y + 4 * scale) * side + x + 4 * scale)] = 16;
    return picture;
}

// A symbol as other programs draw it, `border` modules around it, made smaller by averaging to `side` pixels.
GreyPicture draw_framed(int version, int border, int side) {
    SymbolOptions options;
    options.version = version;
    const Symbol symbol = create_symbol(text, options);
    constexpr int fine = 4;  // samples a pixel and axis
    const double modules = symbol.side + 2 * border;
    GreyPicture picture{side, side, Bytes(static_cast<std::size_t>(side * side))};
    const auto module_at = [&](int sample) {
        return static_cast<int>((sample + 0.5) * modules / (side * fine)) - border;
    };
    const auto is_black = [&](int column, int row) {
        return column >= 0 && row >= 0 && column < symbol.side && row < symbol.side &&
               symbol.modules[static_cast<std::size_t>(row * symbol.side + column)] != 0;
    };
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
            int white = 0;
            for (int i = 0; i < fine * fine; ++i)
                white += is_black(module_at(x * fine + i % fine), module_at(y * fine + i / fine)) ? 0 : 1;
            picture.pixels[static_cast<std::size_t>(y * side + x)] =
                static_cast<std::uint8_t>(16 + 219 * white / (fine * fine));
        }
    }
    return picture;
}

PictureReader reader_of(std::vector<GreyPicture> pictures) {
    const std::size_t count = pictures.size();
    return {[pictures = std::move(pictures)](std::span<const std::size_t> frames) {
                std::vector<GreyPicture> wanted;
                for (const std::size_t frame : frames) wanted.push_back(pictures[frame]);
                return wanted;
            },
            count, 2, std::make_shared<DetectionBudget>(std::int64_t{1} << 30)};
}

}  // namespace

TEST(every_version_is_located_where_it_was_drawn) {
    for (int version = min_symbol_version; version <= max_symbol_version; ++version) {
        for (const int scale : {2, 4}) {
            const GreyPicture picture = draw(version, scale);
            const auto found = locate_grey_symbol(picture.view());
            CHECK(found.has_value());
            if (!found) continue;
            CHECK(found->version == version);
            CHECK(found->module_width == scale);
            CHECK(found->left == 4 * scale);
        }
    }
}

TEST(symbols_that_fill_their_picture_are_located_to_a_part_of_a_pixel) {
    for (const int version : {2, 20, 35, 38}) {
        for (const int border : {2, 3, 4}) {
            const double modules = 4 * version + 17 + 2 * border;
            // 1.5 pixels a module: over the whole symbol half a pixel at its edge would be a third of a module.
            const int side = static_cast<int>(modules * 1.5) + 1;
            const GreyPicture picture = draw_framed(version, border, side);
            const auto found = locate_grey_symbol(picture.view());
            CHECK(found.has_value());
            if (!found) continue;
            CHECK(found->version == version);
            CHECK(found->module_width == side / modules);
            CHECK(found->left == border * side / modules);
            PictureReader reader = reader_of({picture});
            const std::int64_t first[] = {0};
            const auto batch = reader.read(first, Decoder::automatic, {});
            CHECK(batch.results[0].payload == text);
            CHECK(reader.counters().detected == 0);
        }
    }
}

TEST(what_holds_no_symbol_is_not_located) {
    for (const std::uint8_t grey : {0, 128, 255}) {
        const GreyPicture plain{64, 48, Bytes(64 * 48, grey)};
        CHECK(!locate_grey_symbol(plain.view()));
    }
    const GreyPicture pixel{1, 1, Bytes(1, 0)};
    CHECK(!locate_grey_symbol(pixel.view()));
}

TEST(pictures_are_read_and_bad_ones_are_statuses) {
    GreyPicture ruined = draw(5, 4);
    std::fill(ruined.pixels.begin(), ruined.pixels.end(), std::uint8_t{7});
    PictureReader reader = reader_of({draw(5, 4), ruined, {}, draw(40, 3)});
    const std::int64_t indices[] = {3, 0, 1, 2, 0};
    const auto batch = reader.read(indices, Decoder::automatic, {});
    CHECK(batch.plan.frames.size() == 4);
    CHECK(batch.results[0].status == FrameStatus::ok);
    CHECK(batch.results[0].payload == text);
    CHECK(batch.results[1].status == FrameStatus::no_symbol);
    CHECK(batch.results[2].status == FrameStatus::missing);
    CHECK(batch.results[3].payload == text);
    CHECK(reader.counters().frames == 4);
    CHECK(reader.counters().failed == 2);
}
