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
// Steps of a code for each root mean square of a vector's components, which are about normally distributed: 3 are best
// for most.
constexpr double first_steps = 2, last_steps = 4.41, between_steps = 0.2;
constexpr int passes = 2;  // over the components, to change each where that brings the code nearer

// How near a code is to the direction of a vector: the square of their cosine, but for the vector's length.
struct Nearness {
    std::int64_t dot = 0, norm = 0;

    bool operator>(const Nearness& other) const {
        const auto a = static_cast<double>(dot), b = static_cast<double>(other.dot);
        return a * a * static_cast<double>(other.norm) > b * b * static_cast<double>(norm);
    }
};

Nearness take_steps(std::span<const std::int32_t> turned, double steps, std::span<std::int8_t> code) {
    Nearness found;
    for (std::size_t i = 0; i < turned.size(); ++i) {
        const double step = std::floor(turned[i] * steps);
        const int value = std::clamp(2 * static_cast<int>(std::clamp(step, -8.0, 7.0)) + 1, -largest, largest);
        code[i] = static_cast<std::int8_t>(value);
        found.dot += std::int64_t{turned[i]} * value;
        found.norm += value * value;
    }
    return found;
}

Nearness go_nearer(std::span<const std::int32_t> turned, Nearness found, std::span<std::int8_t> code) {
    for (int pass = 0; pass < passes; ++pass)
        for (std::size_t i = 0; i < turned.size(); ++i)
            for (const int change : {2, -2}) {
                const int value = code[i] + change;
                if (value > largest || value < -largest) continue;
                const Nearness next{found.dot + std::int64_t{turned[i]} * change,
                                    found.norm + value * value - code[i] * code[i]};
                if (next.dot <= 0 || !(next > found)) continue;
                found = next;
                code[i] = static_cast<std::int8_t>(value);
            }
    return found;
}

Nearness best_code(std::span<const std::int32_t> turned, double length, std::span<std::int8_t> code) {
    const double mean = length / std::sqrt(static_cast<double>(turned.size()));
    std::vector<std::int8_t> tried(code.size());
    Nearness best;
    for (double steps = first_steps; steps < last_steps; steps += between_steps) {
        const Nearness found = take_steps(turned, steps / mean, tried);
        if (best.norm != 0 && !(found > best)) continue;
        best = found;
        std::copy(tried.begin(), tried.end(), code.begin());
    }
    return go_nearer(turned, best, code);
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
    Nearness found;
    if (bits_ == 1) {
        for (std::size_t i = 0; i < turned.size(); ++i) {
            code[i] = turned[i] < 0 ? -1 : 1;
            found.dot += std::int64_t{turned[i]} * code[i];
        }
    } else {
        found = best_code(turned, length, code);
    }
    return static_cast<float>(length / static_cast<double>(found.dot));
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
