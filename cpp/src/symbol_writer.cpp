#include "memvid/symbol_writer.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "memvid/error.hpp"

namespace memvid {

namespace {

void check(const SymbolOptions& options) {
    if (options.version < min_symbol_version || options.version > max_symbol_version)
        throw Error(ErrorCode::config, "symbol version " + std::to_string(options.version) + " is not one of 1 to 40");
    if (options.data_mask < -1 || options.data_mask > 7)
        throw Error(ErrorCode::config, "data mask " + std::to_string(options.data_mask) + " is not one of 0 to 7");
}

constexpr unsigned eci_utf8 = 26;
constexpr int eci_bits = 12;  // mode and designator

// Writes a bit string from the front.
class BitSink {
public:
    explicit BitSink(std::size_t bytes) { out_.reserve(bytes); }

    void put(unsigned value, int count) {
        bits_ = bits_ << count | value;
        for (waiting_ += count; waiting_ >= 8; waiting_ -= 8)
            out_.push_back(static_cast<std::uint8_t>(bits_ >> (waiting_ - 8)));
    }
    Bytes& finish() {
        put(0, (8 - waiting_) % 8);
        return out_;
    }
    std::size_t bytes() const { return out_.size(); }

private:
    Bytes out_;
    unsigned bits_ = 0;
    int waiting_ = 0;
};

// The data codewords: an ECI designator where there is one, a byte segment, the end mark, padding.
Bytes make_data(ByteView payload, const SymbolOptions& options) {
    const auto size = static_cast<std::size_t>(data_codewords(options.version, options.level));
    BitSink sink(size);
    if (options.utf8 && std::any_of(payload.begin(), payload.end(), [](std::uint8_t byte) { return byte >= 0x80; })) {
        sink.put(mode_eci, 4);
        sink.put(eci_utf8, 8);
    }
    sink.put(mode_bytes, 4);
    sink.put(static_cast<unsigned>(payload.size()), static_cast<int>(count_bits(mode_bytes, options.version)));
    for (const auto byte : payload) sink.put(byte, 8);
    if (sink.bytes() < size) sink.put(mode_end, 4);
    Bytes& data = sink.finish();
    for (std::uint8_t pad = 0xec; data.size() < size; pad ^= 0xec ^ 0x11) data.push_back(pad);
    return std::move(data);
}

// Reed-Solomon codes over GF(2^8), as QR has them: the remainder by a polynomial with the roots 1, 2, 4, 8, ...
class Correction {
public:
    static constexpr int most_codewords = 30;

    explicit Correction(int codewords) : codewords_(static_cast<std::size_t>(codewords)) {
        std::array<std::uint8_t, most_codewords + 1> divisor{};  // highest power first, without its 1
        divisor[codewords_ - 1] = 1;
        std::uint8_t root = 1;
        for (std::size_t i = 0; i < codewords_; ++i) {
            for (std::size_t j = 0; j < codewords_; ++j)
                divisor[j] = static_cast<std::uint8_t>(multiply(divisor[j], root) ^ divisor[j + 1]);
            root = multiply(root, 2);
        }
        for (unsigned factor = 0; factor < 256; ++factor)
            for (std::size_t j = 0; j < codewords_; ++j)
                multiples_[factor][j] = multiply(divisor[j], static_cast<std::uint8_t>(factor));
    }

    void append_to(Bytes& out, ByteView block) const {
        std::array<std::uint8_t, most_codewords + 3> remainder{};
        for (const auto byte : block) {
            const auto& multiple = multiples_[static_cast<std::size_t>(byte ^ remainder[0])];
            for (std::size_t j = 0; j < multiple.size(); ++j)
                remainder[j] = static_cast<std::uint8_t>(remainder[j + 1] ^ multiple[j]);
        }
        out.insert(out.end(), remainder.begin(), remainder.begin() + static_cast<std::ptrdiff_t>(codewords_));
    }

private:
    static std::uint8_t multiply(unsigned a, unsigned b) {
        unsigned product = 0;
        for (; b != 0; b >>= 1, a = a << 1 ^ (a >> 7) * 0x11d)
            if ((b & 1) != 0) product ^= a;
        return static_cast<std::uint8_t>(product);
    }

    std::size_t codewords_;
    std::array<std::array<std::uint8_t, most_codewords + 2>, 256> multiples_{};  // of the divisor, by every byte
};

// The one of its kind that many symbols need, made when the first of them does; threads may ask at once.
template <typename Thing, int most>
const Thing& shared(int key) {
    static std::array<std::once_flag, most + 1> made;
    static std::array<std::unique_ptr<const Thing>, most + 1> things;
    const auto at = static_cast<std::size_t>(key);
    std::call_once(made[at], [&] { things[at] = std::make_unique<const Thing>(key); });
    return *things[at];
}

// All codewords in the order they are drawn, and zeros for the modules that are left over.
Bytes make_codewords(ByteView data, int version, ErrorCorrection level) {
    const int blocks = block_count(version, level);
    const int per_block = correction_per_block(version, level);
    const auto& correction = shared<Correction, Correction::most_codewords>(per_block);
    const std::size_t short_length = data.size() / static_cast<std::size_t>(blocks);
    const std::size_t short_blocks = static_cast<std::size_t>(blocks) - data.size() % static_cast<std::size_t>(blocks);
    Bytes corrections;
    for (std::size_t block = 0, start = 0; block < static_cast<std::size_t>(blocks); ++block) {
        const std::size_t length = short_length + (block < short_blocks ? 0 : 1);
        correction.append_to(corrections, data.subspan(start, length));
        start += length;
    }
    Bytes codewords;
    codewords.reserve(static_cast<std::size_t>(total_codewords(version)) + 1);
    for (const auto from : interleaving(version, level)) codewords.push_back(data[from]);
    for (int i = 0; i < per_block; ++i)
        for (int block = 0; block < blocks; ++block)
            codewords.push_back(corrections[static_cast<std::size_t>(block * per_block + i)]);
    codewords.push_back(0);
    return codewords;
}

// What all symbols of a version have in common.
class Template {
public:
    explicit Template(int version) : side_(4 * version + 17), blank_(static_cast<std::size_t>(side_ * side_)) {
        for (const auto& module : black_function_modules(version)) blank_[position(module.x, module.y)] = 1;
        const auto modules = data_modules(version);
        for (auto& mask : masks_) mask.resize((modules.size() + 7) / 8);
        for (std::size_t bit = 0; bit < modules.size(); ++bit) {
            const auto [x, y] = modules[bit];
            positions_.push_back(static_cast<std::uint16_t>(position(x, y)));
            for (int mask = 0; mask < 8; ++mask)
                if (masked(mask, x, y))
                    masks_[static_cast<std::size_t>(mask)][bit >> 3] |= static_cast<std::uint8_t>(0x80 >> (bit & 7));
        }
    }

    Symbol draw(ByteView codewords, ErrorCorrection level, int mask) const {
        Symbol symbol{side_, blank_};
        std::uint8_t* const modules = symbol.modules.data();
        const auto& turned = masks_[static_cast<std::size_t>(mask)];
        const std::size_t whole = positions_.size() / 8;
        for (std::size_t i = 0; i < whole; ++i) {
            const unsigned codeword = codewords[i] ^ turned[i];
            const std::uint16_t* const at = positions_.data() + i * 8;
            for (unsigned bit = 0; bit < 8; ++bit)
                modules[at[bit]] = static_cast<std::uint8_t>(codeword >> (7 - bit) & 1);
        }
        for (std::size_t bit = whole * 8; bit < positions_.size(); ++bit)
            modules[positions_[bit]] = static_cast<std::uint8_t>(turned[whole] >> (7 - bit % 8) & 1);
        draw_format(symbol.modules, format_word(level, mask));
        return symbol;
    }

private:
    std::size_t position(int x, int y) const { return static_cast<std::size_t>(y * side_ + x); }

    // Two copies: around the upper left finder, and split between the two others.
    void draw_format(Bytes& modules, int word) const {
        for (int i = 0; i < 15; ++i) {
            const auto bit = static_cast<std::uint8_t>(word >> i & 1);
            const int along = i < 6 ? i : i < 8 ? i + 1 : 0;   // down column 8, around the timing pattern
            const int back = i < 8 ? 0 : i == 8 ? 7 : 14 - i;  // then along row 8
            modules[i < 8 ? position(8, along) : position(back, 8)] = bit;
            modules[i < 8 ? position(side_ - 1 - i, 8) : position(8, side_ - 15 + i)] = bit;
        }
    }

    int side_;
    Bytes blank_;
    std::vector<std::uint16_t> positions_;  // of each bit of the codewords
    std::array<Bytes, 8> masks_;            // per data mask: what to xor each codeword with
};

// ISO/IEC 18004, 7.8.3: how much a row or column disturbs readers: long runs of one colour, and what looks like a
// finder.
int line_penalty(const std::uint8_t* module, std::size_t step, int side) {
    int penalty = 0, run = 0;
    unsigned history = 0, last = 2;
    for (int i = 0; i < side + 4; ++i, module += step) {
        const unsigned colour = i < side ? *module : 0;  // it is white around the symbol
        history = (history << 1 | colour) & 0x7fff;
        const bool finder = (history >> 4 & 0x7f) == 0x5d;
        if (finder && ((history & 0xf) == 0 || history >> 11 == 0)) penalty += 40;
        if (i >= side) continue;
        run = colour == last ? run + 1 : 1;
        last = colour;
        penalty += run == 5 ? 3 : run > 5 ? 1 : 0;
    }
    return penalty;
}

int penalty(const Symbol& symbol) {
    const int side = symbol.side;
    const auto row_step = static_cast<std::size_t>(side);
    const std::uint8_t* const modules = symbol.modules.data();
    int sum = 0, black = 0;
    for (std::size_t i = 0; i < row_step; ++i)
        sum += line_penalty(modules + i * row_step, 1, side) + line_penalty(modules + i, row_step, side);
    for (std::size_t y = 0; y < row_step; ++y)
        for (std::size_t x = 0; x < row_step; ++x) {
            const std::uint8_t* const at = modules + y * row_step + x;
            black += *at;
            if (x + 1 == row_step || y + 1 == row_step) continue;
            const int four = at[0] + at[1] + at[row_step] + at[row_step + 1];
            if (four == 0 || four == 4) sum += 3;
        }
    const int all = side * side;
    return sum + std::abs(20 * black - 10 * all) / all * 10;
}

}  // namespace

int symbol_capacity(const SymbolOptions& options) {
    check(options);
    return byte_capacity(options.version, options.level, options.utf8 ? eci_bits : 0);
}

Symbol create_symbol(ByteView payload, const SymbolOptions& options) {
    const int capacity = symbol_capacity(options);
    if (payload.empty()) throw Error(ErrorCode::config, "a QR code of no bytes cannot be created");
    if (payload.size() > static_cast<std::size_t>(capacity))
        throw Error(ErrorCode::too_large,
                    std::to_string(payload.size()) + " bytes do not fit into a symbol of version " +
                        std::to_string(options.version) + ", which takes " + std::to_string(capacity));
    const Bytes data = make_data(payload, options);
    const Bytes codewords = make_codewords(data, options.version, options.level);
    const auto& blank = shared<Template, max_symbol_version>(options.version);
    if (options.data_mask >= 0) return blank.draw(codewords, options.level, options.data_mask);
    Symbol best = blank.draw(codewords, options.level, 0);
    int least = penalty(best);
    for (int mask = 1; mask < 8; ++mask) {
        Symbol symbol = blank.draw(codewords, options.level, mask);
        const int cost = penalty(symbol);
        if (cost >= least) continue;
        least = cost;
        best = std::move(symbol);
    }
    return best;
}

}  // namespace memvid
