#include "memvid/qr_layout.hpp"

#include <algorithm>
#include <cstring>

#include "memvid/error.hpp"

namespace memvid {

namespace {

// ISO/IEC 18004, table 9: error correction codewords in a block and number of blocks, by level and version.
constexpr std::uint8_t correction_per_block[4][40] = {
    {7,  10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28,
     28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
    {10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26,
     26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28},
    {13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30,
     28, 30, 30, 30, 30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
    {17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28,
     30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
};
constexpr std::uint8_t block_counts[4][40] = {
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

std::vector<int> alignment_centres(int version) {
    if (version == 1) return {};
    const int count = version / 7 + 2;
    const int step = (version * 8 + count * 3 + 5) / (count * 4 - 4) * 2;
    std::vector<int> centres{6};
    for (int i = count - 2, last = 4 * version + 10; i >= 0; --i) centres.push_back(last - i * step);
    return centres;
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
        const auto centres = alignment_centres(version);
        for (const int y : centres)
            for (const int x : centres)
                if (!in_finder(x, y)) mark(x - 2, y - 2, 5, 5);
        if (version >= 7) {
            mark(side_ - 11, 0, 3, 6);
            mark(0, side_ - 11, 6, 3);
        }
    }

    bool operator()(int x, int y) const { return set_[static_cast<std::size_t>(y * side_ + x)]; }

private:
    bool in_finder(int x, int y) const { return (x == 6 && (y == 6 || y == side_ - 7)) || (x == side_ - 7 && y == 6); }

    void mark(int left, int top, int width, int height) {
        for (int y = top; y < top + height; ++y)
            for (int x = left; x < left + width; ++x) set_[static_cast<std::size_t>(y * side_ + x)] = true;
    }

    int side_;
    std::vector<bool> set_;
};

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

int raw_codewords(int version) {
    int modules = (16 * version + 128) * version + 64;
    if (version >= 2) {
        const int alignments = version / 7 + 2;
        modules -= (25 * alignments - 10) * alignments - 55;
        if (version >= 7) modules -= 36;
    }
    return modules / 8;
}

int block_count(int version, ErrorCorrection level) { return block_counts[static_cast<int>(level)][version - 1]; }

// The data is cut into blocks, and drawn interleaved: the first codeword of every block, the second of every block, ...
// Short blocks come first and lack the last one.
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

int format_word(int level_bits, int mask) {
    const int data = level_bits << 3 | mask;
    int remainder = data;
    for (int i = 0; i < 10; ++i) remainder = remainder << 1 ^ (remainder >> 9) * 0x537;
    return (data << 10 | remainder) ^ 0x5412;
}

// Reads a bit string from the front.
class BitSource {
public:
    explicit BitSource(ByteView bytes) : bytes_(bytes) {}

    std::size_t available() const { return bytes_.size() * 8 - position_; }
    unsigned take(unsigned count) {
        unsigned value = 0;
        for (; count > 0; --count, ++position_)
            value = value << 1 | (bytes_[position_ >> 3] >> (7 - (position_ & 7)) & 1);
        return value;
    }
    void take_bytes(Bytes& out, std::size_t count) {
        const std::size_t start = out.size();
        out.resize(start + count);
        const std::uint8_t* from = bytes_.data() + (position_ >> 3);
        const unsigned shift = position_ & 7;
        if (shift == 0) {
            std::memcpy(out.data() + start, from, count);
        } else {
            for (std::size_t i = 0; i < count; ++i)
                out[start + i] = static_cast<std::uint8_t>(from[i] << shift | from[i + 1] >> (8 - shift));
        }
        position_ += count * 8;
    }

private:
    ByteView bytes_;
    std::size_t position_ = 0;
};

enum Mode : unsigned { mode_end = 0, mode_numeric = 1, mode_alphanumeric = 2, mode_bytes = 4, mode_eci = 7 };

bool take_numeric(BitSource& bits, Bytes& out, std::size_t digits) {
    while (digits > 0) {
        const auto group = static_cast<unsigned>(std::min<std::size_t>(digits, 3));
        const unsigned width = group * 3 + 1;
        if (bits.available() < width) return false;
        const unsigned value = bits.take(width);
        if (value >= (group == 3 ? 1000U : group == 2 ? 100U : 10U)) return false;
        for (unsigned scale = group == 3 ? 100 : group == 2 ? 10 : 1; scale > 0; scale /= 10)
            out.push_back(static_cast<std::uint8_t>('0' + value / scale % 10));
        digits -= group;
    }
    return true;
}

bool take_alphanumeric(BitSource& bits, Bytes& out, std::size_t characters) {
    static constexpr char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
    for (; characters >= 2; characters -= 2) {
        if (bits.available() < 11) return false;
        const unsigned value = bits.take(11);
        if (value >= 45 * 45) return false;
        out.push_back(static_cast<std::uint8_t>(alphabet[value / 45]));
        out.push_back(static_cast<std::uint8_t>(alphabet[value % 45]));
    }
    if (characters == 0) return true;
    if (bits.available() < 6) return false;
    const unsigned value = bits.take(6);
    if (value >= 45) return false;
    out.push_back(static_cast<std::uint8_t>(alphabet[value]));
    return true;
}

bool skip_eci(BitSource& bits) {
    if (bits.available() < 8) return false;
    const unsigned first = bits.take(8);
    const unsigned more = (first & 0x80) == 0 ? 0 : (first & 0xc0) == 0x80 ? 8 : 16;
    if (bits.available() < more) return false;
    bits.take(more);
    return true;
}

unsigned count_bits(unsigned mode, int version) {
    const int size = version < 10 ? 0 : version < 27 ? 1 : 2;
    static constexpr unsigned numeric[] = {10, 12, 14}, alphanumeric[] = {9, 11, 13}, bytes[] = {8, 16, 16};
    return mode == mode_numeric ? numeric[size] : mode == mode_alphanumeric ? alphanumeric[size] : bytes[size];
}

// Modes the writer does not use here (Kanji, structured append, FNC1) are left to the full decoder.
std::optional<Bytes> parse_segments(ByteView data, int version) {
    BitSource bits(data);
    Bytes content;
    content.reserve(data.size());
    while (bits.available() >= 4) {
        const unsigned mode = bits.take(4);
        if (mode == mode_end) break;
        if (mode == mode_eci) {
            if (!skip_eci(bits)) return std::nullopt;
            continue;
        }
        if (mode != mode_numeric && mode != mode_alphanumeric && mode != mode_bytes) return std::nullopt;
        const unsigned width = count_bits(mode, version);
        if (bits.available() < width) return std::nullopt;
        const std::size_t count = bits.take(width);
        if (mode == mode_bytes) {
            if (bits.available() < count * 8) return std::nullopt;
            bits.take_bytes(content, count);
        } else if (!(mode == mode_numeric ? take_numeric(bits, content, count)
                                          : take_alphanumeric(bits, content, count))) {
            return std::nullopt;
        }
    }
    return content;
}

}  // namespace

int data_codewords(int version, ErrorCorrection level) {
    return raw_codewords(version) -
           correction_per_block[static_cast<int>(level)][version - 1] * block_count(version, level);
}

int byte_capacity(int version, ErrorCorrection level, int eci_bits) {
    const int header = eci_bits + 4 + static_cast<int>(count_bits(mode_bytes, version));
    return std::max((data_codewords(version, level) * 8 - header) / 8, 0);
}

SymbolReader::SymbolReader(const SymbolGeometry& geometry, std::size_t stride) : geometry_(geometry), stride_(stride) {
    const int version = geometry.version;
    const int side = geometry.side();
    const auto codewords = static_cast<std::size_t>(data_codewords(version, ErrorCorrection::L));
    const FunctionModules is_function(version);
    bit_positions_.reserve(codewords * 8);
    for (auto& mask : masks_) mask.assign(codewords, 0);
    for (int right = side - 1; right >= 1 && bit_positions_.size() < codewords * 8; right -= 2) {
        if (right == 6) right = 5;  // the vertical timing pattern
        const bool upward = ((right + 1) & 2) == 0;
        for (int step = 0; step < side; ++step) {
            const int y = upward ? side - 1 - step : step;
            for (int x = right; x > right - 2; --x) {
                if (is_function(x, y) || bit_positions_.size() == codewords * 8) continue;
                const std::size_t bit = bit_positions_.size();
                for (int mask = 0; mask < 8; ++mask)
                    if (masked(mask, x, y))
                        masks_[static_cast<std::size_t>(mask)][bit >> 3] |=
                            static_cast<std::uint8_t>(0x80 >> (bit & 7));
                const auto column = static_cast<std::size_t>(x + geometry.left);
                const auto row = static_cast<std::size_t>(y + geometry.top);
                bit_positions_.push_back(static_cast<std::uint32_t>(row * stride * 8 + column));
            }
        }
    }
    // The picture has 1 for white and the symbol 1 for black: one more xor, paid here instead of for every frame.
    for (auto& mask : masks_)
        for (auto& codeword : mask) codeword ^= 0xff;
    for (int level = 0; level < 4; ++level)
        levels_[static_cast<std::size_t>(level)].destination =
            interleaving(version, static_cast<ErrorCorrection>(level));
}

std::optional<int> SymbolReader::read_format(const BitImageView& image) const {
    const auto black = [&](int x, int y) { return image.white(x + geometry_.left, y + geometry_.top) ? 0 : 1; };
    int word = 0;
    for (int i = 14; i >= 9; --i) word = word << 1 | black(14 - i, 8);
    word = word << 1 | black(7, 8);
    word = word << 1 | black(8, 8);
    word = word << 1 | black(8, 7);
    for (int i = 5; i >= 0; --i) word = word << 1 | black(8, i);
    const int value = (word ^ 0x5412) >> 10;
    if (format_word(value >> 3, value & 7) != word) return std::nullopt;
    return value;
}

std::optional<Bytes> SymbolReader::read(const BitImageView& image) const {
    if (image.stride != stride_ || image.width < geometry_.left + geometry_.side() ||
        image.height < geometry_.top + geometry_.side())
        return std::nullopt;
    const auto format = read_format(image);
    if (!format) return std::nullopt;
    const auto* level = std::find(std::begin(format_level_bits), std::end(format_level_bits), *format >> 3);
    const auto& destination = levels_[static_cast<std::size_t>(level - std::begin(format_level_bits))].destination;
    const auto& mask = masks_[static_cast<std::size_t>(*format & 7)];

    // One bit a byte first: the walk then loads instead of shifting.
    thread_local Bytes modules;
    // A row's stride may reach beyond the picture's memory where the last row ends.
    const std::size_t bytes =
        static_cast<std::size_t>(image.height - 1) * stride_ + (static_cast<std::size_t>(image.width) + 7) / 8;
    modules.resize(bytes * 8);
    std::uint8_t* const module = modules.data();  // looking a thread_local up costs more than a bit does
    static const auto spread = [] {
        std::array<std::array<std::uint8_t, 8>, 256> table{};
        for (unsigned value = 0; value < 256; ++value)
            for (unsigned bit = 0; bit < 8; ++bit)
                table[value][bit] = static_cast<std::uint8_t>(value >> (7 - bit) & 1);
        return table;
    }();
    for (std::size_t i = 0; i < bytes; ++i) std::memcpy(module + i * 8, spread[image.data[i]].data(), 8);

    thread_local Bytes data;
    data.resize(destination.size());
    std::uint8_t* const codewords = data.data();
    const std::uint32_t* position = bit_positions_.data();
    for (std::size_t i = 0; i < destination.size(); ++i, position += 8) {
        const unsigned codeword = static_cast<unsigned>(module[position[0]]) << 7 | module[position[1]] << 6 |
                                  module[position[2]] << 5 | module[position[3]] << 4 | module[position[4]] << 3 |
                                  module[position[5]] << 2 | module[position[6]] << 1 | module[position[7]];
        codewords[destination[i]] = static_cast<std::uint8_t>(codeword ^ mask[i]);
    }
    return parse_segments(data, geometry_.version);
}

}  // namespace memvid
