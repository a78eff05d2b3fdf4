#include "memvid/row_signs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "memvid/half_float.hpp"
#include "memvid/row_codes.hpp"
#include "memvid/x86.hpp"

namespace memvid {

namespace {

constexpr std::size_t sampled = 4096;  // vectors, evenly spread, of which the mean is taken
constexpr std::size_t portion = 4096;  // vectors of which one thread makes the signs at a time
constexpr std::size_t word_bits = 64;
constexpr std::size_t line = 64;                       // bytes of the cache: a row begins on its border
constexpr std::size_t head_bytes = 2 * sizeof(float);  // in front of the signs
constexpr std::size_t lookahead = 16;                  // rows on their way from memory while one is looked at
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

// Writes what is kept of a vector; `unit` is room for it.
[[gnu::always_inline]] inline void encode(const Shape& shape, const std::uint8_t* row, const float* mean, float* unit,
                                          std::uint8_t* out) {
    const std::size_t size = padded(shape.dim);
    if (!read_unit(shape, row, unit)) return;  // zeros
    for (std::size_t i = 0; i < size; ++i) unit[i] -= mean[i];
    const float square = total(size, [=](std::size_t i) { return unit[i] * unit[i]; });
    const float sum = total(size, [=](std::size_t i) { return std::abs(unit[i]); });
    const float head[] = {total(size, [=](std::size_t i) { return unit[i] * mean[i]; }), sum > 0 ? square / sum : 0};
    std::memcpy(out, head, sizeof head);
    for (std::size_t at = 0; at < size; at += 8) {
        unsigned signs = 0;
        for (unsigned bit = 0; bit < 8; ++bit) signs |= unsigned{unit[at + bit] > 0} << bit;
        out[head_bytes + at / 8] = static_cast<std::uint8_t>(signs);
    }
}

using Encode = void (*)(const Shape&, const std::uint8_t*, const float*, float*, std::uint8_t*);

void portable_encode(const Shape& shape, const std::uint8_t* row, const float* mean, float* unit, std::uint8_t* out) {
    encode(shape, row, mean, unit, out);
}

// The products of a query's bytes with signs.
void portable_dots(const StableArray& signs, const PreparedQuery& query, std::span<const std::uint32_t> vectors,
                   float* dots) {
    for (std::size_t i = 0; i < vectors.size(); ++i) {
        if (i + lookahead < vectors.size()) __builtin_prefetch(signs[vectors[i + lookahead]]);
        dots[i] = query.products(signs[vectors[i]] + sizeof(float)).dot;
    }
}

#ifdef MEMVID_X86

// Without fused products, which would round otherwise.
__attribute__((target("avx2"))) void avx2_encode(const Shape& shape, const std::uint8_t* row, const float* mean,
                                                 float* unit, std::uint8_t* out) {
    encode(shape, row, mean, unit, out);
}

__attribute__((target(MEMVID_VNNI))) void vnni_dots(const StableArray& signs, const PreparedQuery& query,
                                                    std::span<const std::uint32_t> vectors, float* dots) {
    const std::int8_t* const bytes = query.bytes().data();
    const std::size_t size = query.dim();
    const std::int32_t all = query.sum();
    for (std::size_t i = 0; i < vectors.size(); ++i) {
        if (i + lookahead < vectors.size()) __builtin_prefetch(signs[vectors[i + lookahead]]);
        const std::uint8_t* const row = signs[vectors[i]];
        float factor;
        std::memcpy(&factor, row + sizeof factor, sizeof factor);
        dots[i] = static_cast<float>(2 * sum_of_chosen(bytes, size, row + head_bytes) - all) * factor;
    }
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
      row_bytes_(head_bytes + padded(dim) / 8),
      signs_((row_bytes_ + line - 1) / line * line),
      dots_(portable_dots) {
#ifdef MEMVID_X86
    if (instructions == Instructions::avx512_vnni) dots_ = vnni_dots;
#endif
    const Shape shape{dim, scalar};
    const Encode encode = encode_by(instructions);
    const std::size_t vectors = matrix.size() / row_bytes;
    signs_.grow_to(vectors);
    pool.parallel_for((vectors + portion - 1) / portion, [&](std::size_t part) {
        std::vector<float> unit(padded(dim));
        for (std::size_t i = part * portion; i < std::min(vectors, (part + 1) * portion); ++i)
            encode(shape, matrix.data() + i * row_bytes, mean_.data(), unit.data(), signs_[i]);
    });
}

void RowSigns::estimate(const Asked& asked, std::span<const std::uint32_t> vectors, std::span<float> products) const {
    dots_(signs_, asked.query, vectors, products.data());
    const float scale = asked.scale / PreparedQuery::rounded_peak;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
        float along;
        std::memcpy(&along, signs_[vectors[i]], sizeof along);
        products[i] = scale * products[i] + asked.along * along;
    }
}

RowSigns::Asked RowSigns::prepared(const PreparedQuery& query) const {
    std::vector<float> rest(query.direction().begin(), query.direction().end());
    rest.resize(mean_.size());
    for (float& each : rest)
        if (!std::isfinite(each)) each = 0;  // what is no number can be put into no order
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
