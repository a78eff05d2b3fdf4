#include "memvid/grey_symbol.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "memvid/qr_layout.hpp"

namespace memvid {

namespace {

constexpr int quiet_modules = 4;
// Pictures are drawn with four pixels a module and padded to whole macroblocks; made smaller or larger they keep that
// proportion, from which a module's size follows more exactly than from the edges of what is black.
constexpr int drawn_scale = 4;
constexpr int drawn_block = 16;
constexpr double edge_tolerance = 1.5;  // pixels
constexpr int widest_border = 10;       // modules; programs draw two, three or four of them
constexpr double smallest_module = 1.0;
constexpr double sure_timing = 0.75;  // of the modules of the timing patterns
constexpr float sharpening = 0.2F;    // of the difference to each of four neighbours

int symbol_side(int version) { return 4 * version + 17; }

// The brightness between black and white, as they are in this picture.
int threshold_of(const GreyImageView& image) {
    std::uint64_t counts[256] = {};
    for (int y = 0; y < image.height; ++y) {
        const std::uint8_t* row = image.data + static_cast<std::size_t>(y) * image.stride;
        for (int x = 0; x < image.width; ++x) ++counts[row[x]];
    }
    int threshold = 128;
    for (int round = 0; round < 8; ++round) {
        std::uint64_t number[2] = {}, sum[2] = {};
        for (int level = 0; level < 256; ++level) {
            number[level >= threshold] += counts[level];
            sum[level >= threshold] += counts[level] * static_cast<std::uint64_t>(level);
        }
        if (number[0] == 0 || number[1] == 0) break;
        const auto next = static_cast<int>((sum[0] / number[0] + sum[1] / number[1] + 1) / 2);
        if (next == threshold) break;
        threshold = next;
    }
    return threshold;
}

// First and last of the lines that have more black in them than noise would.
std::optional<std::pair<int, int>> black_range(const std::vector<int>& black, int across) {
    const int least = std::max(2, across / 64);
    const auto is_black = [&](int count) { return count >= least; };
    const auto first = std::find_if(black.begin(), black.end(), is_black);
    if (first == black.end()) return std::nullopt;
    const auto last = std::find_if(black.rbegin(), black.rend(), is_black);
    return std::pair{static_cast<int>(first - black.begin()), static_cast<int>(black.rend() - last)};
}

// Brightness at a point, pixel centres being at halves.
float brightness(const GreyImageView& image, double x, double y) {
    const double px = std::clamp(x - 0.5, 0.0, image.width - 1.0), py = std::clamp(y - 0.5, 0.0, image.height - 1.0);
    const int left = static_cast<int>(px), top = static_cast<int>(py);
    const int right = std::min(left + 1, image.width - 1), bottom = std::min(top + 1, image.height - 1);
    const auto fx = static_cast<float>(px - left), fy = static_cast<float>(py - top);
    const std::uint8_t* upper = image.data + static_cast<std::size_t>(top) * image.stride;
    const std::uint8_t* lower = image.data + static_cast<std::size_t>(bottom) * image.stride;
    const auto mix = [](float a, float b, float t) { return a + (b - a) * t; };
    return mix(mix(upper[left], upper[right], fx), mix(lower[left], lower[right], fx), fy);
}

// Mean brightness of the pixels whose centres are in a module, at least of the one in its middle.
float mean_brightness(const GreyImageView& image, const GreyGeometry& at, int column, int row) {
    const auto range = [](double start, double size, int limit) {
        const int first = std::clamp(static_cast<int>(std::ceil(start - 0.5)), 0, limit - 1);
        const int last = std::clamp(static_cast<int>(std::ceil(start + size - 0.5)), first + 1, limit);
        return std::pair{first, last};
    };
    const auto [left, right] = range(at.left + column * at.module_width, at.module_width, image.width);
    const auto [top, bottom] = range(at.top + row * at.module_height, at.module_height, image.height);
    int sum = 0;
    for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x)
            sum += image.data[static_cast<std::size_t>(y) * image.stride + static_cast<std::size_t>(x)];
    return static_cast<float>(sum) / static_cast<float>((right - left) * (bottom - top));
}

float centre_brightness(const GreyImageView& image, const GreyGeometry& at, int column, int row) {
    return brightness(image, at.left + (column + 0.5) * at.module_width, at.top + (row + 0.5) * at.module_height);
}

// The part of both timing patterns that looks as it should if the symbol were there.
double timing_score(const GreyImageView& image, const GreyGeometry& at, int threshold) {
    const int side = symbol_side(at.version);
    int right = 0, total = 0;
    for (int i = 7; i < side - 7; ++i, total += 2) {
        const bool black = i % 2 == 0;
        right += (centre_brightness(image, at, i, 6) < static_cast<float>(threshold)) == black ? 1 : 0;
        right += (centre_brightness(image, at, 6, i) < static_cast<float>(threshold)) == black ? 1 : 0;
    }
    return static_cast<double>(right) / total;
}

struct Box {
    int left, top, right, bottom;
};

// The symbol behind `border` modules in a picture of `modules` a side, if that is where the black in it is.
std::optional<GreyGeometry> as_laid_out(const GreyImageView& image, const Box& box, int version, int border,
                                        double modules) {
    const int side = symbol_side(version);
    const double width = image.width / modules, height = image.height / modules;
    const GreyGeometry at{version, border * width, border * height, width, height};
    const auto near = [](double a, double b) { return std::abs(a - b) <= edge_tolerance; };
    if (!near(at.left, box.left) || !near(at.top, box.top) || !near(at.left + side * width, box.right) ||
        !near(at.top + side * height, box.bottom))
        return std::nullopt;
    return at;
}

// As our own writers draw.
std::optional<GreyGeometry> as_drawn(const GreyImageView& image, const Box& box, int version) {
    const int drawn =
        (drawn_scale * (symbol_side(version) + 2 * quiet_modules) + drawn_block - 1) / drawn_block * drawn_block;
    return as_laid_out(image, box, version, quiet_modules, static_cast<double>(drawn) / drawn_scale);
}

// As other programs draw: a picture of nothing but the symbol and a border of whole modules, the same on all sides.
std::optional<GreyGeometry> as_framed(const GreyImageView& image, const Box& box, int version, int border) {
    return as_laid_out(image, box, version, border, symbol_side(version) + 2 * border);
}

}  // namespace

std::optional<GreyGeometry> locate_grey_symbol(const GreyImageView& image) {
    const int threshold = threshold_of(image);
    std::vector<int> columns(static_cast<std::size_t>(image.width)), rows(static_cast<std::size_t>(image.height));
    for (int y = 0; y < image.height; ++y) {
        const std::uint8_t* row = image.data + static_cast<std::size_t>(y) * image.stride;
        int count = 0;
        for (int x = 0; x < image.width; ++x) {
            const int black = row[x] < threshold ? 1 : 0;
            columns[static_cast<std::size_t>(x)] += black;
            count += black;
        }
        rows[static_cast<std::size_t>(y)] = count;
    }
    const auto across = black_range(columns, image.height), down = black_range(rows, image.width);
    if (!across || !down) return std::nullopt;
    const Box box{across->first, down->first, across->second, down->second};

    std::optional<GreyGeometry> best;
    double best_score = sure_timing;
    const auto consider = [&](const std::optional<GreyGeometry>& candidate) {
        if (!candidate || candidate->module_width < smallest_module || candidate->module_height < smallest_module)
            return;
        const double score = timing_score(image, *candidate, threshold);
        if (score <= best_score) return;
        best = candidate;
        best_score = score;
    };
    for (int version = min_symbol_version; version <= max_symbol_version; ++version)
        consider(as_drawn(image, box, version));
    if (best) return best;
    for (int version = min_symbol_version; version <= max_symbol_version; ++version)
        for (int border = 1; border <= widest_border; ++border) consider(as_framed(image, box, version, border));
    if (best) return best;
    for (int version = min_symbol_version; version <= max_symbol_version; ++version) {
        const double side = symbol_side(version);
        consider(GreyGeometry{version, static_cast<double>(box.left), static_cast<double>(box.top),
                              (box.right - box.left) / side, (box.bottom - box.top) / side});
    }
    return best;
}

SymbolGeometry SampledSymbol::place(int version) { return {version, quiet_modules, quiet_modules}; }

std::size_t SampledSymbol::stride(int version) {
    return (static_cast<std::size_t>(symbol_side(version) + 2 * quiet_modules) + 7) / 8;
}

SampledSymbol::SampledSymbol(const GreyImageView& image, const GreyGeometry& geometry, Sampling sampling)
    : side_(symbol_side(geometry.version) + 2 * quiet_modules), stride_(stride(geometry.version)) {
    const int side = symbol_side(geometry.version);
    const auto cells = static_cast<std::size_t>(side);
    std::vector<float> grey(cells * cells);
    for (int row = 0; row < side; ++row)
        for (int column = 0; column < side; ++column)
            grey[static_cast<std::size_t>(row) * cells + static_cast<std::size_t>(column)] =
                sampling == Sampling::area ? mean_brightness(image, geometry, column, row)
                                           : centre_brightness(image, geometry, column, row);
    // Black and white are about as frequent in a symbol, so what lies between their means divides them.
    float threshold = 128;
    for (int round = 0; round < 4; ++round) {
        float sum[2] = {}, number[2] = {};
        for (const float value : grey) {
            sum[value >= threshold] += value;
            number[value >= threshold] += 1;
        }
        if (number[0] == 0 || number[1] == 0) break;
        threshold = (sum[0] / number[0] + sum[1] / number[1]) / 2;
    }
    bits_.assign(stride_ * static_cast<std::size_t>(side_), 0xff);
    for (int row = 0; row < side; ++row) {
        for (int column = 0; column < side; ++column) {
            const std::size_t i = static_cast<std::size_t>(row) * cells + static_cast<std::size_t>(column);
            float value = grey[i];
            if (sampling == Sampling::sharpened) {
                // What is outside of the symbol is white.
                const auto neighbour = [&](bool inside, std::size_t at) { return inside ? grey[at] : 255.0F; };
                const float around = neighbour(column > 0, i - 1) + neighbour(column + 1 < side, i + 1) +
                                     neighbour(row > 0, i - cells) + neighbour(row + 1 < side, i + cells);
                value += sharpening * (4 * value - around);
            }
            if (value >= threshold) continue;
            const int x = column + quiet_modules;
            bits_[static_cast<std::size_t>(row + quiet_modules) * stride_ + static_cast<std::size_t>(x >> 3)] &=
                static_cast<std::uint8_t>(~(0x80 >> (x & 7)));
        }
    }
}

BitImageView SampledSymbol::view() const { return {bits_.data(), side_, side_, stride_}; }

}  // namespace memvid
