#include "memvid/symbol_reader.hpp"

#include <algorithm>
#include <cstring>

namespace memvid {

namespace {

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
            std::uint8_t* const to = out.data() + start;  // looked up once: a byte may alias anything
            for (std::size_t i = 0; i < count; ++i)
                to[i] = static_cast<std::uint8_t>(from[i] << shift | from[i + 1] >> (8 - shift));
        }
        position_ += count * 8;
    }

private:
    ByteView bytes_;
    std::size_t position_ = 0;
};

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

// Our writer makes one byte segment; others, and the memories of format version 1, mix modes and put an ECI in front.
// What is rarer than that (Kanji, structured append, FNC1) is left to the full decoder.
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

SymbolReader::SymbolReader(const SymbolGeometry& geometry, std::size_t stride)
    : geometry_(geometry), stride_(stride), walk_(geometry, stride) {
    const int version = geometry.version;
    const auto codewords = static_cast<std::size_t>(data_codewords(version, ErrorCorrection::L));
    const auto modules = data_modules(version);
    // The picture has 1 for white and the symbol 1 for black: one more xor, paid here instead of for every frame.
    for (auto& mask : masks_) mask.assign(codewords, 0xff);
    for (std::size_t bit = 0; bit < codewords * 8; ++bit) {
        const auto [x, y] = modules[bit];
        for (int mask = 0; mask < 8; ++mask)
            if (masked(mask, x, y))
                masks_[static_cast<std::size_t>(mask)][bit >> 3] ^= static_cast<std::uint8_t>(0x80 >> (bit & 7));
    }
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
    if (format_word(format_level(value >> 3), value & 7) != word) return std::nullopt;
    return value;
}

std::optional<Bytes> SymbolReader::read(const BitImageView& image) const {
    if (image.stride != stride_ || image.width < geometry_.left + geometry_.side() ||
        image.height < geometry_.top + geometry_.side())
        return std::nullopt;
    const auto format = read_format(image);
    if (!format) return std::nullopt;
    const auto& destination = levels_[static_cast<std::size_t>(format_level(*format >> 3))].destination;
    const auto& mask = masks_[static_cast<std::size_t>(*format & 7)];

    thread_local Bytes drawn, data;
    const std::size_t count = destination.size();
    drawn.resize(count);
    data.resize(count);
    walk_.read(image, drawn);
    // Looked up once: a byte that is written may be anything's.
    const std::uint8_t *const found = drawn.data(), *const turned = mask.data();
    const std::uint16_t* const place = destination.data();
    std::uint8_t* const codewords = data.data();
    for (std::size_t i = 0; i < count; ++i) codewords[place[i]] = static_cast<std::uint8_t>(found[i] ^ turned[i]);
    return parse_segments(data, geometry_.version);
}

}  // namespace memvid
