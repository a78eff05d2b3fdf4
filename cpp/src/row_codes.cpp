#include "memvid/row_codes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t max_dim = 1 << 16;
constexpr int largest = 15;  // component of a code of 4 bits
// Codes are sought for vectors whose components have this root mean square, as whole numbers: sums of their products
// fit 32 bits.
constexpr int mean = 1024;
// A component is divided into steps: 3 in each root mean square are best for most vectors, whose components are about
// normally distributed. Tried are 2 to 4.4, in parts of 65536 / mean.
constexpr int first_steps = 128, last_steps = 282, between_steps = 12;
constexpr int passes = 2;  // over the components, to change each where that brings the code nearer

// How near a code is to the direction of a vector: the square of their cosine, but for the vector's length.
struct Nearness {
    std::int32_t dot = 0, norm = 0;

    bool operator>(const Nearness& other) const {
        const auto a = static_cast<double>(dot), b = static_cast<double>(other.dot);
        return a * a * static_cast<double>(other.norm) > b * b * static_cast<double>(norm);
    }
};

// All of it in whole numbers of 16 and 32 bits, so that compilers make vectors of it.
Nearness take_steps(std::span<const std::int16_t> vector, int steps, std::span<std::int16_t> code) {
    std::int32_t dot = 0, norm = 0;
    for (std::size_t i = 0; i < vector.size(); ++i) {
        const auto step = static_cast<std::int16_t>((vector[i] * steps) >> 16);
        const auto value = static_cast<std::int16_t>(2 * std::clamp<std::int16_t>(step, -8, 7) + 1);
        code[i] = value;
        dot += vector[i] * value;
        norm += value * value;
    }
    return {dot, norm};
}

void go_nearer(std::span<const std::int16_t> vector, Nearness found, std::span<std::int16_t> code) {
    for (int pass = 0; pass < passes; ++pass)
        for (std::size_t i = 0; i < vector.size(); ++i) {
            const bool is_above = std::int64_t{vector[i]} * found.norm > std::int64_t{code[i]} * found.dot;
            const int change = is_above ? 2 : -2, value = code[i] + change;
            if (value > largest || value < -largest) continue;
            const Nearness next{found.dot + vector[i] * change, found.norm + value * value - code[i] * code[i]};
            if (next.dot <= 0 || !(next > found)) continue;
            found = next;
            code[i] = static_cast<std::int16_t>(value);
        }
}

void find_code(std::span<const std::int32_t> turned, double length, std::span<std::int8_t> code) {
    const double scale = mean / (length / std::sqrt(static_cast<double>(turned.size())));
    std::vector<std::int16_t> vector(turned.size()), best(turned.size()), tried(turned.size());
    for (std::size_t i = 0; i < turned.size(); ++i)
        vector[i] = static_cast<std::int16_t>(std::clamp(turned[i] * scale, -32767.0, 32767.0));
    Nearness nearest;
    for (int steps = first_steps; steps < last_steps; steps += between_steps) {
        const Nearness found = take_steps(vector, steps, tried);
        if (nearest.norm != 0 && !(found > nearest)) continue;
        nearest = found;
        best.swap(tried);
    }
    go_nearer(vector, nearest, best);
    std::copy(best.begin(), best.end(), code.begin());
}

std::size_t checked_dim(std::size_t dim, Scalar scalar) {
    if (dim == 0 || dim > max_dim || !is_code(scalar))
        throw Error(ErrorCode::config, "vectors of such dimensions have no codes");
    return dim;
}

}  // namespace

RowCoder::RowCoder(std::size_t dim, Scalar scalar) : rotation_(checked_dim(dim, scalar)), bits_(code_bits(scalar)) {}

float RowCoder::encode(std::span<const std::int16_t> vector, std::span<std::int8_t> code) const {
    std::vector<std::int32_t> turned(size());
    rotation_.turn(vector, turned);
    std::int64_t square = 0;
    for (const std::int64_t value : turned) square += value * value;
    std::fill(code.begin(), code.end(), 1);
    if (square == 0) return 0;
    const double length = std::sqrt(static_cast<double>(square));
    if (bits_ == 1)
        for (std::size_t i = 0; i < turned.size(); ++i) code[i] = turned[i] < 0 ? -1 : 1;
    else
        find_code(turned, length, code);
    std::int64_t dot = 0;
    for (std::size_t i = 0; i < turned.size(); ++i) dot += std::int64_t{turned[i]} * code[i];
    return static_cast<float>(length / static_cast<double>(dot));
}

void RowCoder::pack(std::span<const std::int8_t> code, float factor, std::span<std::uint8_t> row) const {
    std::memcpy(row.data(), &factor, sizeof factor);
    std::uint8_t* codes = row.data() + sizeof factor;
    std::memset(codes, 0, row_bytes() - sizeof factor);
    for (std::size_t i = 0; i < code.size(); ++i) {
        if (bits_ == 1)
            codes[i / 8] |= static_cast<std::uint8_t>((code[i] > 0) << (i % 8));
        else
            codes[i / 64 * 32 + i % 32] |= static_cast<std::uint8_t>((code[i] + largest) / 2 << (i % 64 < 32 ? 0 : 4));
    }
}

float RowCoder::unpack(std::span<const std::uint8_t> row, std::span<std::int8_t> code) const {
    for (std::size_t i = 0; i < code.size(); ++i)
        code[i] = static_cast<std::int8_t>(code_component(row.data() + sizeof(float), i, bits_));
    float factor;
    std::memcpy(&factor, row.data(), sizeof factor);
    return factor;
}

void RowCoder::decode(std::span<const std::uint8_t> row, std::span<float> vector) const {
    std::vector<std::int8_t> code(size());
    std::vector<std::int32_t> turned(dim());
    unpack(row, code);
    rotation_.turn_back(code, turned);
    std::transform(turned.begin(), turned.end(), vector.begin(), [](std::int32_t value) { return value; });
}

}  // namespace memvid
