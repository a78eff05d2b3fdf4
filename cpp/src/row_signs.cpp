#include "memvid/row_signs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "memvid/half_float.hpp"
#include "memvid/row_codes.hpp"
#include "memvid/x86.hpp"

namespace memvid {

namespace {

constexpr std::size_t sampled = 4096;   // vectors, evenly spread, of which the mean is taken
constexpr std::size_t portion = 4096;   // vectors of which one thread makes the signs at a time
constexpr std::size_t word_bits = 64;
// Sums side by side: a compiler makes vectors of them, and the order of additions is the same with any instructions.
constexpr std::size_t lanes = 8;

std::size_t padded(std::size_t dim) { return (dim + word_bits - 1) / word_bits * word_bits; }

struct Shape {
    std::size_t dim;
    Scalar scalar;
};

template <typename Component>
[[gnu::always_inline]] inline void fill(std::size_t dim, float* out, Component component) {
    for (std::size_t i = 0; i < dim; ++i) out[i] = component(i);
}

[[gnu::always_inline]] inline void read(const Shape& shape, const std::uint8_t* row, float* out) {
    switch (shape.scalar) {
        case Scalar::i8:
            return fill(shape.dim, out, [=](std::size_t i) { return static_cast<float>(static_cast<std::int8_t>(row[i])); });
        case Scalar::f16:
            return fill(shape.dim, out, [=](std::size_t i) {
                std::uint16_t half;
                std::memcpy(&half, row + 2 * i, sizeof half);
                return half_to_float(half);
            });
        case Scalar::f32:
            std::memcpy(out, row, shape.dim * sizeof(float));
            return;
        case Scalar::code4:
        case Scalar::code1:
            return fill(shape.dim, out, [=, bits = code_bits(shape.scalar)](std::size_t i) {
                return static_cast<float>(code_component(row + sizeof(float), i, bits));
            });
    }
}

template <typename Term>
[[gnu::always_inline]] inline float total(std::size_t size, Term term) {
    float sums[lanes] = {};
    for (std::size_t i = 0; i < size; i += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += term(i + lane);
    float sum = 0;
    for (const float each : sums) sum += each;
    return sum;
}

// Reads a vector and makes it one of length 1; false where it has no direction. `unit` has `padded(dim)` components.
[[gnu::always_inline]] inline bool read_unit(const Shape& shape, const std::uint8_t* row, float* unit) {
    read(shape, row, unit);
    const std::size_t size = padded(shape.dim);
    const float square = total(size, [=](std::size_t i) { return unit[i] * unit[i]; });
    if (!std::isfinite(square) || square <= 0) return false;
    const float length = std::sqrt(square);
    for (std::size_t i = 0; i < size; ++i) unit[i] /= length;
    return true;
}

// Writes what is kept of vectors, each `stride` bytes behind the one before; `unit` is room for one vector.
[[gnu::always_inline]] inline void encode(const Shape& shape, const std::uint8_t* rows, std::size_t row_bytes,
                                          std::size_t count, const float* mean, float* unit, std::uint8_t* out,
                                          std::size_t stride) {
    const std::size_t size = padded(shape.dim);
    for (std::size_t row = 0; row < count; ++row, rows += row_bytes, out += stride) {
        if (!read_unit(shape, rows, unit)) continue;  // zeros
        for (std::size_t i = 0; i < size; ++i) unit[i] -= mean[i];
        const float square = total(size, [=](std::size_t i) { return unit[i] * unit[i]; });
        const float sum = total(size, [=](std::size_t i) { return std::abs(unit[i]); });
        const float head[] = {total(size, [=](std::size_t i) { return unit[i] * mean[i]; }), sum > 0 ? square / sum : 0};
        std::memcpy(out, head, sizeof head);
        for (std::size_t at = 0; at < size; at += 8) {
            unsigned signs = 0;
            for (unsigned bit = 0; bit < 8; ++bit) signs |= unsigned{unit[at + bit] > 0} << bit;
            out[sizeof head + at / 8] = static_cast<std::uint8_t>(signs);
        }
    }
}

using Encode = void (*)(const Shape&, const std::uint8_t*, std::size_t, std::size_t, const float*, float*,
                        std::uint8_t*, std::size_t);

void portable_encode(const Shape& shape, const std::uint8_t* rows, std::size_t row_bytes, std::size_t count,
                     const float* mean, float* unit, std::uint8_t* out, std::size_t stride) {
    encode(shape, rows, row_bytes, count, mean, unit, out, stride);
}

#ifdef MEMVID_X86
// Without fused products, which would round otherwise.
__attribute__((target("avx2"))) void avx2_encode(const Shape& shape, const std::uint8_t* rows, std::size_t row_bytes,
                                                 std::size_t count, const float* mean, float* unit, std::uint8_t* out,
                                                 std::size_t stride) {
    encode(shape, rows, row_bytes, count, mean, unit, out, stride);
}
#endif

Encode encode_by([[maybe_unused]] Instructions instructions) {
#ifdef MEMVID_X86
    if (instructions != Instructions::portable) return avx2_encode;
#endif
    return portable_encode;
}

std::vector<float> mean_of(const Shape& shape, const std::uint8_t* rows, std::size_t row_bytes, std::size_t count) {
    std::vector<float> unit(padded(shape.dim)), mean(unit.size());
    const std::size_t step = (count + sampled - 1) / sampled;
    std::size_t taken = 0;
    for (std::size_t row = 0; row < count; row += step) {
        if (!read_unit(shape, rows + row * row_bytes, unit.data())) continue;
        ++taken;
        for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += unit[i];
    }
    if (taken > 0)
        for (float& each : mean) each /= static_cast<float>(taken);
    return mean;
}

}  // namespace

RowSigns::RowSigns(ByteView matrix, std::size_t row_bytes, std::size_t dim, Scalar scalar, ThreadPool& pool,
                   Instructions instructions)
    : mean_(mean_of({dim, scalar}, matrix.data(), row_bytes, matrix.size() / row_bytes)),
      lines_((2 * sizeof(float) + padded(dim) / 8 + line - 1) / line),
      signs_(matrix.size() / row_bytes * lines_) {
    const Shape shape{dim, scalar};
    const std::size_t vectors = matrix.size() / row_bytes;
    const Encode encode = encode_by(instructions);
    pool.parallel_for((vectors + portion - 1) / portion, [&](std::size_t part) {
        std::vector<float> unit(padded(dim));
        const std::size_t first = part * portion;
        encode(shape, matrix.data() + first * row_bytes, row_bytes, std::min(portion, vectors - first), mean_.data(),
               unit.data(), signs_[first * lines_].bytes, lines_ * line);
    });
}

RowSigns::Asked RowSigns::prepared(const PreparedQuery& query) const {
    std::vector<float> rest(query.direction().begin(), query.direction().end());
    rest.resize(mean_.size());
    const float square = total(mean_.size(), [&](std::size_t i) { return mean_[i] * mean_[i]; });
    const float product = total(mean_.size(), [&](std::size_t i) { return mean_[i] * rest[i]; });
    const float along = square > 0 ? product / square : 0;
    float scale = 0;
    for (std::size_t i = 0; i < rest.size(); ++i) {
        rest[i] -= along * mean_[i];
        scale = std::max(scale, std::abs(rest[i]));
    }
    return {{rest, Scalar::code1}, scale, along};
}

}  // namespace memvid
