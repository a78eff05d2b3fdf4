#include <string>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/finder_patterns.hpp"
#include "memvid/qr_code.hpp"
#include "memvid/symbol_reader.hpp"
#include "memvid/symbol_writer.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr ErrorCorrection levels[] = {ErrorCorrection::L, ErrorCorrection::M, ErrorCorrection::Q, ErrorCorrection::H};

// A symbol as a frame has it, read by both readers.
struct Frame {
    explicit Frame(const Symbol& symbol, int version) : geometry(frame_geometry(version)) {
        PngEncoder encoder;
        picture = decoder.decode(encoder.encode(symbol, geometry), geometry.width, geometry.height);
        CHECK(picture.has_value());
    }

    std::optional<Bytes> by_table() const {
        return SymbolReader(geometry.symbol, picture->image.stride).read(picture->image);
    }
    std::optional<Bytes> by_zxing(Detection detection = Detection::pure, int scale = 1) const {
        const Bytes grey = to_grey(picture->image, scale);
        const int width = geometry.width * scale;
        return read_symbol({grey.data(), width, geometry.height * scale, static_cast<std::size_t>(width)}, detection);
    }

    FrameGeometry geometry;
    PngDecoder decoder;
    std::optional<PngDecoder::Picture> picture;
};

int capacity(int version, ErrorCorrection level, bool utf8 = false) {
    return symbol_capacity({version, level, 0, utf8});
}

}  // namespace

TEST(capacities_are_those_of_the_standard) {
    // ISO/IEC 18004, table 7: bytes of a single segment in byte mode.
    constexpr struct {
        int version, by_level[4];
    } rows[] = {{1, {17, 14, 11, 7}},           {2, {32, 26, 20, 14}},         {5, {106, 84, 60, 44}},
                {7, {154, 122, 86, 64}},        {9, {230, 180, 130, 98}},      {10, {271, 213, 151, 119}},
                {14, {458, 362, 258, 194}},     {20, {858, 666, 482, 382}},    {25, {1273, 997, 715, 535}},
                {26, {1367, 1059, 751, 593}},   {27, {1465, 1125, 805, 625}},  {32, {1952, 1538, 1112, 842}},
                {39, {2809, 2213, 1579, 1219}}, {40, {2953, 2331, 1663, 1273}}};
    for (const auto& row : rows)
        for (std::size_t level = 0; level < 4; ++level)
            CHECK_EQUAL(capacity(row.version, levels[level]), row.by_level[level]);
}

TEST(a_full_symbol_can_be_created_and_a_fuller_one_not) {
    Random random(1);
    for (int version = min_symbol_version; version <= max_symbol_version; ++version)
        for (const auto level : levels)
            for (const bool utf8 : {false, true}) {
                const auto fits = static_cast<std::size_t>(capacity(version, level, utf8));
                const SymbolOptions options{version, level, 3, utf8};
                Bytes payload = random.bytes(fits);
                const Symbol symbol = create_symbol(payload, options);
                CHECK_EQUAL(symbol.side, 4 * version + 17);
                payload.push_back('q');
                CHECK_ERROR(too_large, create_symbol(payload, options));
            }
}

TEST(both_readers_agree_on_every_version_level_and_mask) {
    Random random(2);
    for (int version = min_symbol_version; version <= max_symbol_version; ++version)
        for (const auto level : levels)
            for (int mask = 0; mask < 8; ++mask) {
                const bool utf8 = mask % 2 == 1;
                const auto fits = static_cast<std::size_t>(capacity(version, level, utf8));
                const Bytes payload = random.bytes(mask < 2 ? fits : random.below(fits) + 1);
                const Frame frame(create_symbol(payload, {version, level, mask, utf8}), version);
                CHECK(frame.by_table() == payload);
                CHECK(frame.by_zxing() == payload);
            }
}

TEST(columns_of_modules_are_the_modules_one_by_one) {
    if (!ModuleWalk::can_take_columns()) return;
    Random random(5);
    for (int version = min_symbol_version; version <= max_symbol_version; ++version)
        for (int round = 0; round < 9; ++round) {
            const SymbolGeometry geometry{version, static_cast<int>(random.below(20)),
                                          static_cast<int>(random.below(20))};
            const int width = geometry.left + geometry.side() + round, height = geometry.top + geometry.side() + round;
            const std::size_t stride = static_cast<std::size_t>(width + 7) / 8 + random.below(3);
            // No byte more than there are: rows end with the picture's last one.
            const Bytes bits = random.bytes(stride * static_cast<std::size_t>(height - 1) +
                                            static_cast<std::size_t>(width + 7) / 8);
            const BitImageView picture{bits.data(), width, height, stride};
            const ModuleWalk columns(geometry, stride, true), modules(geometry, stride, false);
            for (const auto level : levels) {
                Bytes fast(static_cast<std::size_t>(data_codewords(version, level))), slow(fast.size());
                columns.read(picture, fast);
                modules.read(picture, slow);
                CHECK(fast == slow);
            }
        }
}

TEST(digits_and_capitals_are_bytes_like_others) {
    const std::string texts[] = {"7", "00000000000001",
                                 "HTTP://EXAMPLE.ORG/ $%*+-.:", "0123456789ABCDEFGHIJ\x89MV\xe3\x81\x82"};
    for (const int version : {4, 12, 30})
        for (const auto& text : texts)
            for (const int mask : {-1, 0, 5}) {
                const Bytes payload = to_bytes(text);
                const Frame frame(create_symbol(payload, {version, ErrorCorrection::L, mask}), version);
                CHECK(frame.by_table() == payload);
                CHECK(frame.by_zxing() == payload);
            }
}

TEST(the_detector_reads_an_enlarged_frame) {
    Random random(3);
    for (const int version : {1, 7, 25}) {
        const Bytes payload = random.bytes(static_cast<std::size_t>(capacity(version, ErrorCorrection::L)));
        const Frame frame(create_symbol(payload, {version, ErrorCorrection::L, 0}), version);
        CHECK(frame.by_zxing(Detection::full, 4) == payload);
    }
}

TEST(the_table_never_reads_beyond_the_picture) {
    // Noise in place of a symbol: whatever the segments claim, nothing outside is read, and what is read is bounded.
    Random random(4);
    for (const int version : {1, 2, 9, 10, 27, 40}) {
        const int side = 4 * version + 17;
        const auto stride = static_cast<std::size_t>(side + 7) / 8;
        const SymbolReader reader({version, 0, 0}, stride);
        const Symbol sound = create_symbol(Bytes(5, 'x'), {version, ErrorCorrection::L, 0});
        for (int round = 0; round < 300; ++round) {
            Bytes bits = random.bytes(stride * static_cast<std::size_t>(side));
            // Format bits that hold, so that the data is looked at.
            for (int i = 0; i < 9; ++i)
                for (const auto& [x, y] : {std::pair{i, 8}, std::pair{8, i}}) {
                    auto& byte = bits[static_cast<std::size_t>(y) * stride + static_cast<std::size_t>(x / 8)];
                    const auto bit = static_cast<std::uint8_t>(0x80 >> x % 8);
                    const bool black = sound.modules[static_cast<std::size_t>(y * side + x)] != 0;
                    byte = static_cast<std::uint8_t>(black ? byte & ~bit : byte | bit);
                }
            const auto content = reader.read({bits.data(), side, side, stride});
            if (content) CHECK(content->size() <= 8000);
        }
        const Bytes small(stride * static_cast<std::size_t>(side - 1));
        CHECK(!reader.read({small.data(), side, side - 1, stride}));
        CHECK(!reader.read({small.data(), side - 1, side - 1, stride}));
        CHECK(!reader.read({small.data(), side, side - 1, stride + 1}));
    }
}

TEST(impossible_options_are_refused) {
    const Bytes payload = to_bytes("x");
    for (const int version : {-1, 0, 41}) CHECK_ERROR(config, create_symbol(payload, {version, ErrorCorrection::L, 0}));
    for (const int mask : {-2, 8}) CHECK_ERROR(config, create_symbol(payload, {5, ErrorCorrection::L, mask}));
    CHECK_ERROR(config, create_symbol({}, {5, ErrorCorrection::L, 0}));
}

TEST(finder_patterns_of_any_size_and_brightness_are_counted) {
    constexpr int side = 480, across = 3;  // patterns in a row
    for (const int module : {1, 2, 3, 4, 8}) {
        const int pitch = side / across;
        for (const bool light : {false, true}) {
            Bytes pixels(side * side, light ? 40 : 220);
            for (int y = 0; y < side; ++y)
                for (int x = 0; x < side; ++x) {
                    const int column = x % pitch / module - 3, row = y % pitch / module - 3;
                    const int ring = std::max(std::abs(column), std::abs(row));
                    if (ring <= 3 && ring != 2) pixels[static_cast<std::size_t>(y * side + x)] = light ? 220 : 40;
                }
            const std::size_t count = count_finder_patterns({pixels.data(), side, side, side}, 1000);
            CHECK(count >= across * across && count <= 3 * across * across);
            CHECK(count_finder_patterns({pixels.data(), side, side, side}, 2) == 3);
        }
    }
}

TEST(a_symbol_has_few_finder_patterns) {
    Random random(9);
    for (const int version : {1, 7, 20, 40})
        for (const int scale : {1, 3, 4}) {
            const Frame frame(
                create_symbol(random.bytes(static_cast<std::size_t>(capacity(version, ErrorCorrection::L))), {version}),
                version);
            const Bytes grey = to_grey(frame.picture->image, scale);
            const int side = frame.geometry.width * scale;
            const GreyImageView view{grey.data(), side, frame.geometry.height * scale, static_cast<std::size_t>(side)};
            const std::size_t count = count_finder_patterns(view, 1000);
            CHECK(count >= 3 && count < 20);
        }
}

TEST(the_detector_leaves_out_pictures_that_are_full_of_finder_patterns) {
    constexpr int side = 1024;  // 16,384 of them: a second for the detector, and a minute in a picture of 4K
    Bytes pixels(side * side, 255);
    for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x) {
            const int ring = std::max(std::abs(x % 8 - 3), std::abs(y % 8 - 3));
            if (ring <= 3 && ring != 2) pixels[static_cast<std::size_t>(y * side + x)] = 0;
        }
    std::int64_t work = 0;
    CHECK(!read_symbol({pixels.data(), side, side, side}, Detection::full, &work));
    CHECK(work > side * side);  // it counts as more than the pixels, all the same
    CHECK(!read_symbol({pixels.data(), side, side, side}, Detection::pure, &work));
    CHECK_EQUAL(work, side * side);
}

TEST(a_picture_without_a_symbol_holds_nothing) {
    const Bytes white(100 * 100, 255), black(100 * 100, 0);
    for (const auto* pixels : {&white, &black})
        for (const auto detection : {Detection::pure, Detection::full})
            CHECK(!read_symbol({pixels->data(), 100, 100, 100}, detection));
}
