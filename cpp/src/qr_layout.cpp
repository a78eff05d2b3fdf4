#include "memvid/qr_layout.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>

namespace memvid {

namespace {

// ISO/IEC 18004, table 9: error correction codewords in a block and number of blocks, by level and version.
constexpr std::uint8_t correction_codewords[4][40] = {
    {7,  10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28,
     28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
    {10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26,
     26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28},
    {13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30,
     28, 30, 30, 30, 30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
    {17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28,
     30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
};
constexpr std::uint8_t blocks_of[4][40] = {
    {1, 1, 1, 1,  1,  2,  2,  2,  2,  4,  4,  4,  4,  4,  6,  6,  6,  6,  7,  8,
     8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25},
    {1,  1,  1,  2,  2,  4,  4,  4,  5,  5,  5,  8,  9,  9,  10, 10, 11, 13, 14, 16,
     17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49},
    {1,  1,  2,  2,  4,  4,  6,  6,  8,  8,  8,  10, 12, 16, 12, 17, 16, 18, 21, 20,
     23, 23, 25, 27, 29, 34, 34, 35, 38, 40, 43, 45, 48, 51, 53, 56, 59, 62, 65, 68},
    {1,  1,  2,  4,  4,  4,  5,  6,  8,  8,  11, 11, 16, 16, 18, 16, 19, 21, 25, 25,
     25, 34, 30, 32, 35, 37, 40, 42, 45, 48, 51, 54, 57, 60, 63, 66, 70, 74, 77, 81},
};

// The two format bits of a level, by level.
constexpr int format_level_bits[4] = {1, 0, 3, 2};

int side_of(int version) { return 4 * version + 17; }

Module module_at(int x, int y) { return {static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y)}; }

std::vector<Module> alignment_centres(int version) {
    if (version == 1) return {};
    const int side = side_of(version);
    const int count = version / 7 + 2;
    const int step = (version * 8 + count * 3 + 5) / (count * 4 - 4) * 2;
    std::vector<int> places{6};
    for (int i = count - 2, last = side - 7; i >= 0; --i) places.push_back(last - i * step);
    std::vector<Module> centres;
    for (const int y : places)
        for (const int x : places)
            if (!(x == 6 && (y == 6 || y == side - 7)) && !(x == side - 7 && y == 6))  // a finder is there
                centres.push_back(module_at(x, y));
    return centres;
}

// Data and what corrects its remainder by `divisor`, of `bits` bits.
int with_remainder(int data, int bits, int divisor) {
    int remainder = data;
    for (int i = 0; i < bits; ++i) remainder = remainder << 1 ^ (remainder >> (bits - 1)) * divisor;
    return data << bits | remainder;
}

// Finders, separators, timing, alignment, format and version information: modules that carry no data.
class FunctionModules {
public:
    explicit FunctionModules(int version) : side_(4 * version + 17), set_(static_cast<std::size_t>(side_ * side_)) {
        mark(0, 0, 9, 9);
        mark(side_ - 8, 0, 8, 9);
        mark(0, side_ - 8, 9, 8);
        mark(6, 0, 1, side_);
        mark(0, 6, side_, 1);
        for (const auto& centre : alignment_centres(version)) mark(centre.x - 2, centre.y - 2, 5, 5);
        if (version >= 7) {
            mark(side_ - 11, 0, 3, 6);
            mark(0, side_ - 11, 6, 3);
        }
    }

    bool operator()(int x, int y) const { return set_[static_cast<std::size_t>(y * side_ + x)]; }

private:
    void mark(int left, int top, int width, int height) {
        for (int y = top; y < top + height; ++y)
            for (int x = left; x < left + width; ++x) set_[static_cast<std::size_t>(y * side_ + x)] = true;
    }

    int side_;
    std::vector<bool> set_;
};

}  // namespace

unsigned count_bits(unsigned mode, int version) {
    const int size = version < 10 ? 0 : version < 27 ? 1 : 2;
    static constexpr unsigned numeric[] = {10, 12, 14}, alphanumeric[] = {9, 11, 13}, bytes[] = {8, 16, 16};
    return mode == mode_numeric ? numeric[size] : mode == mode_alphanumeric ? alphanumeric[size] : bytes[size];
}

int byte_capacity(int version, ErrorCorrection level, int eci_bits) {
    const int header = eci_bits + 4 + static_cast<int>(count_bits(mode_bytes, version));
    return (data_codewords(version, level) * 8 - header) / 8;
}

int total_codewords(int version) {
    int modules = (16 * version + 128) * version + 64;
    if (version >= 2) {
        const int alignments = version / 7 + 2;
        modules -= (25 * alignments - 10) * alignments - 55;
        if (version >= 7) modules -= 36;
    }
    return modules / 8;
}

int block_count(int version, ErrorCorrection level) { return blocks_of[static_cast<int>(level)][version - 1]; }

int correction_per_block(int version, ErrorCorrection level) {
    return correction_codewords[static_cast<int>(level)][version - 1];
}

int data_codewords(int version, ErrorCorrection level) {
    return total_codewords(version) - correction_per_block(version, level) * block_count(version, level);
}

std::vector<std::uint16_t> interleaving(int version, ErrorCorrection level) {
    const int total = data_codewords(version, level);
    const int blocks = block_count(version, level);
    const int short_length = total / blocks;
    const int short_blocks = blocks - total % blocks;
    std::vector<std::uint16_t> destination;
    destination.reserve(static_cast<std::size_t>(total));
    for (int i = 0; i <= short_length; ++i)
        for (int block = i < short_length ? 0 : short_blocks; block < blocks; ++block)
            destination.push_back(
                static_cast<std::uint16_t>(block * short_length + std::max(block - short_blocks, 0) + i));
    return destination;
}

std::vector<Module> data_modules(int version) {
    const int side = side_of(version);
    const FunctionModules is_function(version);
    std::vector<Module> modules;
    for (int right = side - 1; right >= 1; right -= 2) {
        if (right == 6) right = 5;  // the vertical timing pattern
        const bool upward = ((right + 1) & 2) == 0;
        for (int step = 0; step < side; ++step) {
            const int y = upward ? side - 1 - step : step;
            for (int x = right; x > right - 2; --x)
                if (!is_function(x, y)) modules.push_back(module_at(x, y));
        }
    }
    return modules;
}

std::vector<Module> black_function_modules(int version) {
    const int side = side_of(version);
    std::vector<Module> modules;
    const auto draw_rings = [&](int centre_x, int centre_y, int radius, int white_ring) {
        for (int y = -radius; y <= radius; ++y)
            for (int x = -radius; x <= radius; ++x)
                if (std::max(std::abs(x), std::abs(y)) != white_ring)
                    modules.push_back(module_at(centre_x + x, centre_y + y));
    };
    for (int i = 8; i < side - 8; i += 2) {
        modules.push_back(module_at(i, 6));
        modules.push_back(module_at(6, i));
    }
    draw_rings(3, 3, 3, 2);
    draw_rings(side - 4, 3, 3, 2);
    draw_rings(3, side - 4, 3, 2);
    for (const auto& centre : alignment_centres(version)) draw_rings(centre.x, centre.y, 2, 1);
    modules.push_back(module_at(8, side - 8));
    if (version >= 7) {
        const int word = with_remainder(version, 12, 0x1f25);
        for (int i = 0; i < 18; ++i) {
            if ((word >> i & 1) == 0) continue;
            modules.push_back(module_at(side - 11 + i % 3, i / 3));
            modules.push_back(module_at(i / 3, side - 11 + i % 3));
        }
    }
    return modules;
}

bool masked(int mask, int x, int y) {
    switch (mask) {
        case 0: return (x + y) % 2 == 0;
        case 1: return y % 2 == 0;
        case 2: return x % 3 == 0;
        case 3: return (x + y) % 3 == 0;
        case 4: return (x / 3 + y / 2) % 2 == 0;
        case 5: return x * y % 2 + x * y % 3 == 0;
        case 6: return (x * y % 2 + x * y % 3) % 2 == 0;
        default: return ((x + y) % 2 + x * y % 3) % 2 == 0;
    }
}

int format_word(ErrorCorrection level, int mask) {
    return with_remainder(format_level_bits[static_cast<int>(level)] << 3 | mask, 10, 0x537) ^ 0x5412;
}

ErrorCorrection format_level(int level_bits) {
    const auto* level = std::find(std::begin(format_level_bits), std::end(format_level_bits), level_bits);
    return static_cast<ErrorCorrection>(level - std::begin(format_level_bits));
}

}  // namespace memvid
