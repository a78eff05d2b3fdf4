#include "memvid/finder_patterns.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "memvid/bytes.hpp"

namespace memvid {

namespace {

constexpr int block_side = 8;
constexpr int blocks_around = 2;  // on each side: black is what is darker than the mean of 40 x 40 pixels
constexpr int least_contrast = 24;  // between these pixels; with less they are all white, whatever their noise

// What is known of 8 x 8 pixels.
struct Block {
    int darkest = 255;
    int lightest = 0;
    int sum = 0;
    int pixels = 0;

    void add(const Block& other) {
        darkest = std::min(darkest, other.darkest);
        lightest = std::max(lightest, other.lightest);
        sum += other.sum;
        pixels += other.pixels;
    }
};

// One byte a pixel, 1 = black by the brightness around it: shadows and glare are even over so few pixels.
class BlackPixels {
public:
    explicit BlackPixels(const GreyImageView& image)
        : width_(image.width),
          height_(image.height),
          columns_((width_ + block_side - 1) / block_side),
          rows_((height_ + block_side - 1) / block_side),
          black_(static_cast<std::size_t>(width_) * static_cast<std::size_t>(height_)) {
        std::vector<Block> blocks(static_cast<std::size_t>(columns_) * static_cast<std::size_t>(rows_));
        for (int row = 0; row < rows_; ++row)
            for (int column = 0; column < columns_; ++column) blocks[place(column, row)] = measure(image, column, row);
        for (int row = 0; row < rows_; ++row)
            for (int column = 0; column < columns_; ++column) {
                Block around;
                for (int y = std::max(row - blocks_around, 0); y <= std::min(row + blocks_around, rows_ - 1); ++y)
                    for (int x = std::max(column - blocks_around, 0); x <= std::min(column + blocks_around, columns_ - 1);
                         ++x)
                        around.add(blocks[place(x, y)]);
                if (around.lightest - around.darkest >= least_contrast)
                    mark(image, column, row, around.sum / around.pixels);
            }
    }

    int width() const { return width_; }
    int height() const { return height_; }
    const std::uint8_t* row(int y) const {
        return &black_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_)];
    }
    bool operator()(int x, int y) const { return row(y)[x] != 0; }

private:
    std::size_t place(int column, int row) const { return static_cast<std::size_t>(row * columns_ + column); }

    template <class Visit>
    void each_row(int column, int row, Visit visit) const {
        const int left = column * block_side, top = row * block_side;
        for (int y = top; y < std::min(top + block_side, height_); ++y)
            visit(y, left, std::min(left + block_side, width_));
    }

    Block measure(const GreyImageView& image, int column, int row) const {
        Block block;
        each_row(column, row, [&](int y, int left, int right) {
            const std::uint8_t* pixels = image.data + static_cast<std::size_t>(y) * image.stride;
            for (int x = left; x < right; ++x) {
                block.darkest = std::min<int>(block.darkest, pixels[x]);
                block.lightest = std::max<int>(block.lightest, pixels[x]);
                block.sum += pixels[x];
            }
            block.pixels += right - left;
        });
        return block;
    }

    void mark(const GreyImageView& image, int column, int row, int threshold) {
        each_row(column, row, [&](int y, int left, int right) {
            const std::uint8_t* pixels = image.data + static_cast<std::size_t>(y) * image.stride;
            std::uint8_t* black = &black_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_)];
            for (int x = left; x < right; ++x) black[x] = pixels[x] < threshold ? 1 : 0;
        });
    }

    int width_, height_, columns_, rows_;
    Bytes black_;
};

// Whether five runs of pixels are in the proportion 1:1:3:1:1, as far as a small picture of them keeps it.
bool in_proportion(const std::array<int, 5>& runs) {
    const int total = runs[0] + runs[1] + runs[2] + runs[3] + runs[4];
    const auto is_about = [&](int run, int modules) { return 2 * std::abs(7 * run - modules * total) <= total + 7; };
    return is_about(runs[2], 3) && is_about(runs[0], 1) && is_about(runs[1], 1) && is_about(runs[3], 1) &&
           is_about(runs[4], 1);
}

// Whether a pixel is in the middle of a finder pattern, as far as the line through it in one direction says.
bool in_middle(const BlackPixels& black, int x, int y, int step_x, int step_y, int most) {
    const bool colour = black(x, y);
    std::array<int, 5> runs{};
    runs[2] = 1;
    int halves[2] = {};
    for (const int sign : {-1, 1}) {
        int at_x = x + sign * step_x, at_y = y + sign * step_y;
        for (int ring = 0; ring < 3; ++ring) {
            const bool wanted = ring == 1 ? !colour : colour;
            int length = 0;
            while (length <= most && at_x >= 0 && at_x < black.width() && at_y >= 0 && at_y < black.height() &&
                   black(at_x, at_y) == wanted) {
                ++length;
                at_x += sign * step_x;
                at_y += sign * step_y;
            }
            if (ring == 0) halves[sign > 0] = length;
            runs[static_cast<std::size_t>(2 + sign * ring)] += length;
        }
    }
    return std::abs(halves[0] - halves[1]) <= 1 && in_proportion(runs);
}

}  // namespace

std::size_t count_finder_patterns(const GreyImageView& image, std::size_t most) {
    const BlackPixels black(image);
    std::size_t count = 0;
    for (int y = 0; y < black.height() && count <= most; ++y) {
        const std::uint8_t* row = black.row(y);
        std::array<int, 5> runs{};
        int run = 0, found = 0;
        for (int x = 0; x < black.width(); ++x) {
            ++run;
            if (x + 1 < black.width() && row[x + 1] == row[x]) continue;
            std::rotate(runs.begin(), runs.begin() + 1, runs.end());
            runs[4] = run;
            run = 0;
            if (++found < 5 || !in_proportion(runs)) continue;
            const int centre = x - runs[4] - runs[3] - runs[2] / 2;
            const int longest = 2 * runs[2];
            const bool is_pattern = in_middle(black, centre, y, 0, 1, longest) &&
                                    in_middle(black, centre, y, 1, 1, longest) &&
                                    in_middle(black, centre, y, 1, -1, longest);
            count += is_pattern ? 1 : 0;
        }
    }
    return count;
}

}  // namespace memvid
