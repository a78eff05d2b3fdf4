#include "memvid/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "memvid/half_float.hpp"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MEMVID_AVX2 1
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace memvid {

namespace {

template <Scalar scalar>
float component(const std::uint8_t* row, std::size_t i) {
    if constexpr (scalar == Scalar::i8) return static_cast<std::int8_t>(row[i]);
    if constexpr (scalar == Scalar::f16) {
        std::uint16_t half;
        std::memcpy(&half, row + 2 * i, sizeof half);
        return half_to_float(half);
    }
    float value;
    std::memcpy(&value, row + 4 * i, sizeof value);
    return value;
}

Products portable_i8(const PreparedQuery& query, const std::uint8_t* row) {
    const auto* a = query.rounded().data();
    const auto* b = reinterpret_cast<const std::int8_t*>(row);
    std::int32_t dot = 0, norm = 0;
    for (std::size_t i = 0; i < query.dim(); ++i) {
        dot += a[i] * b[i];
        norm += b[i] * b[i];
    }
    return {static_cast<float>(dot), static_cast<float>(norm)};
}

// Several sums side by side: in one, each addition would wait for the last, and a compiler may not reorder them.
template <Scalar scalar, typename Sum>
std::pair<Sum, Sum> lane_products(std::span<const float> query, const std::uint8_t* row) {
    constexpr std::size_t lanes = 8;
    const std::size_t dim = query.size(), whole = dim - dim % lanes;
    Sum dots[lanes] = {}, norms[lanes] = {};
    const auto add = [&](std::size_t lane, std::size_t i) {
        const Sum b = component<scalar>(row, i);
        dots[lane] += query[i] * b;
        norms[lane] += b * b;
    };
    for (std::size_t i = 0; i < whole; i += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane) add(lane, i + lane);
    for (std::size_t i = whole; i < dim; ++i) add(i - whole, i);
    return {std::accumulate(dots, dots + lanes, Sum{}), std::accumulate(norms, norms + lanes, Sum{})};
}

template <Scalar scalar>
Products portable_float(const PreparedQuery& query, const std::uint8_t* row) {
    const auto [dot, norm] = lane_products<scalar, float>(query.direction(), row);
    return {dot, norm};
}

PreparedQuery::Kernel portable_float_kernel(Scalar scalar) {
    return scalar == Scalar::i8    ? portable_float<Scalar::i8>
           : scalar == Scalar::f16 ? portable_float<Scalar::f16>
                                   : portable_float<Scalar::f32>;
}

PreparedQuery::Kernel portable_kernel(Scalar scalar) {
    return scalar == Scalar::i8 ? portable_i8 : portable_float_kernel(scalar);
}

#ifdef MEMVID_AVX2

__attribute__((target("avx2"))) std::int32_t sum(__m256i lanes) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

__attribute__((target("avx2"))) float sum(__m256 lanes) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

__attribute__((target("avx2"))) Products avx2_i8(const PreparedQuery& query, const std::uint8_t* row) {
    const auto* a = query.rounded().data();
    const std::size_t dim = query.dim();
    __m256i dots = _mm256_setzero_si256(), norms = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + 16 <= dim; i += 16) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i));
        const __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i)));
        dots = _mm256_add_epi32(dots, _mm256_madd_epi16(x, y));
        norms = _mm256_add_epi32(norms, _mm256_madd_epi16(y, y));
    }
    std::int32_t dot = sum(dots), norm = sum(norms);
    for (; i < dim; ++i) {
        const std::int32_t b = static_cast<std::int8_t>(row[i]);
        dot += a[i] * b;
        norm += b * b;
    }
    return {static_cast<float>(dot), static_cast<float>(norm)};
}

template <Scalar scalar>
__attribute__((target("avx2,fma,f16c"))) Products avx2_float(const PreparedQuery& query, const std::uint8_t* row) {
    const float* a = query.direction().data();
    const std::size_t dim = query.dim();
    __m256 dots = _mm256_setzero_ps(), norms = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 8 <= dim; i += 8) {
        const __m256 x = _mm256_loadu_ps(a + i);
        __m256 y;
        if constexpr (scalar == Scalar::i8)
            y = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i))));
        else if constexpr (scalar == Scalar::f16)
            y = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 2 * i)));
        else
            y = _mm256_loadu_ps(reinterpret_cast<const float*>(row + 4 * i));
        dots = _mm256_fmadd_ps(x, y, dots);
        norms = _mm256_fmadd_ps(y, y, norms);
    }
    float dot = sum(dots), norm = sum(norms);
    for (; i < dim; ++i) {
        const float b = component<scalar>(row, i);
        dot += a[i] * b;
        norm += b * b;
    }
    return {dot, norm};
}

// clang before 18 knows no name for F16C.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool has_avx2() {
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    return has;
}

#endif

}  // namespace

PreparedQuery::PreparedQuery(std::span<const float> query, Scalar scalar)
    : scalar_(scalar),
      kernel_(portable_kernel(scalar)),
      float_kernel_(portable_float_kernel(scalar)),
      direction_(query.begin(), query.end()) {
#ifdef MEMVID_AVX2
    if (has_avx2()) {
        float_kernel_ = scalar == Scalar::i8    ? avx2_float<Scalar::i8>
                        : scalar == Scalar::f16 ? avx2_float<Scalar::f16>
                                                : avx2_float<Scalar::f32>;
        kernel_ = scalar == Scalar::i8 ? avx2_i8 : float_kernel_;
    }
#endif
    float peak = 0;
    for (const float value : direction_) peak = std::max(peak, std::abs(value));
    if (peak == 0) peak = 1;
    for (float& value : direction_) {
        value /= peak;
        norm_ += static_cast<double>(value) * static_cast<double>(value);
    }
    norm_ = std::sqrt(norm_);
    if (scalar != Scalar::i8) return;
    rounded_.reserve(direction_.size());
    for (const float value : direction_) rounded_.push_back(static_cast<std::int16_t>(std::lrintf(value * 127)));
}

Products PreparedQuery::portable_products(const std::uint8_t* row) const {
    return portable_kernel(scalar_)(*this, row);
}

Products PreparedQuery::portable_float_products(const std::uint8_t* row) const {
    return portable_float_kernel(scalar_)(*this, row);
}

float PreparedQuery::cosine(const std::uint8_t* row) const {
    const auto in_double = [&]<Scalar scalar>() {
        const auto [dot, norm] = lane_products<scalar, double>(direction_, row);
        const double cosine = dot / (std::sqrt(norm) * norm_);
        return std::isfinite(cosine) ? static_cast<float>(cosine) : 0;
    };
    switch (scalar_) {
        case Scalar::i8: return in_double.template operator()<Scalar::i8>();
        case Scalar::f16: return in_double.template operator()<Scalar::f16>();
        case Scalar::f32: return in_double.template operator()<Scalar::f32>();
    }
    return 0;
}

}  // namespace memvid
