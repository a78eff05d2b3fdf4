#include "memvid/row_products.hpp"

#include <algorithm>
#include <cstring>

#include "memvid/error.hpp"
#include "memvid/half_float.hpp"
#include "memvid/x86.hpp"

#ifdef MEMVID_X86
#include <cpuid.h>
#endif

namespace memvid {

namespace {

constexpr std::size_t border = 64;  // bytes: a row begins on one
constexpr std::size_t lanes = 16;   // sums of floats side by side

void portable_i8(const std::uint8_t* row, const std::uint8_t* const* others, std::size_t count, std::size_t stride,
                 float* out) {
    const auto* a = reinterpret_cast<const std::int8_t*>(row);
    for (std::size_t k = 0; k < count; ++k) {
        const auto* b = reinterpret_cast<const std::int8_t*>(others[k]);
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < stride; ++i) sum += std::int32_t{a[i]} * b[i];
        out[k] = static_cast<float>(sum);
    }
}

template <Scalar scalar>
float component(const std::uint8_t* row, std::size_t i) {
    if constexpr (scalar == Scalar::f16) {
        std::uint16_t half;
        std::memcpy(&half, row + 2 * i, sizeof half);
        return half_to_float(half);
    } else {
        float value;
        std::memcpy(&value, row + 4 * i, sizeof value);
        return value;
    }
}

template <Scalar scalar>
void portable_float(const std::uint8_t* row, const std::uint8_t* const* others, std::size_t count, std::size_t stride,
                    float* out) {
    const std::size_t size = stride / scalar_bytes(scalar);
    for (std::size_t k = 0; k < count; ++k) {
        float sums[lanes] = {};
        for (std::size_t i = 0; i < size; i += lanes)
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const float product = component<scalar>(row, i + lane) * component<scalar>(others[k], i + lane);
                sums[lane] += product;
            }
        for (std::size_t half = lanes / 2; half > 0; half /= 2)
            for (std::size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
        out[k] = sums[0];
    }
}

#ifdef MEMVID_X86

constexpr std::size_t lookahead = 8;  // rows on their way from memory while four are compared

inline void prefetch(const std::uint8_t* const* others, std::size_t from, std::size_t to, std::size_t stride) {
    for (std::size_t k = from; k < to; ++k)
        for (std::size_t at = 0; at < stride; at += border) __builtin_prefetch(others[k] + at);
}

// Four rows in one call, as long as there are four: what is loaded of `row` serves all of them.
template <typename Four, typename One>
inline void in_fours(const std::uint8_t* const* others, std::size_t count, std::size_t stride, Four four, One one) {
    prefetch(others, 0, std::min(lookahead, count), stride);
    std::size_t k = 0;
    for (; k + 4 <= count; k += 4) {
        prefetch(others, std::min(k + lookahead, count), std::min(k + lookahead + 4, count), stride);
        four(k);
    }
    for (; k < count; ++k) one(k);
}

// What eight lanes of each of n sums come to.
template <std::size_t n>
__attribute__((target("avx2"))) inline void add_lanes(const __m256i* sums, float* out) {
    const __m256i first = _mm256_hadd_epi32(sums[0], sums[n > 1 ? 1 : 0]);
    const __m256i four = _mm256_hadd_epi32(first, n > 1 ? _mm256_hadd_epi32(sums[n > 1 ? 2 : 0], sums[n - 1]) : first);
    const __m128 totals =
        _mm_cvtepi32_ps(_mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1)));
    if constexpr (n == 4)
        _mm_storeu_ps(out, totals);
    else
        *out = _mm_cvtss_f32(totals);
}

// Bytes are multiplied as unsigned by signed: |a| by b with the sign of a. Two products fit into 16 bits.
template <std::size_t n>
__attribute__((target("avx2"))) inline void avx2_i8_rows(const std::uint8_t* row, const std::uint8_t* const* others,
                                                         std::size_t stride, float* out) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[n];
    for (std::size_t k = 0; k < n; ++k) sums[k] = _mm256_setzero_si256();
    for (std::size_t i = 0; i < stride; i += 32) {
        const __m256i a = _mm256_load_si256(reinterpret_cast<const __m256i*>(row + i));
        const __m256i size = _mm256_abs_epi8(a);
        for (std::size_t k = 0; k < n; ++k) {
            const __m256i b = _mm256_load_si256(reinterpret_cast<const __m256i*>(others[k] + i));
            const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(b, a));
            sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(pairs, ones));
        }
    }
    add_lanes<n>(sums, out);
}

__attribute__((target("avx2"))) void avx2_i8(const std::uint8_t* row, const std::uint8_t* const* others,
                                             std::size_t count, std::size_t stride, float* out) {
    in_fours(
        others, count, stride, [=](std::size_t k) { avx2_i8_rows<4>(row, others + k, stride, out + k); },
        [=](std::size_t k) { avx2_i8_rows<1>(row, others + k, stride, out + k); });
}

// Bytes are multiplied as unsigned by signed: b + 128 by a, from which 128 times the sum of a is taken away again.
template <std::size_t n>
__attribute__((target(MEMVID_VNNI))) inline void vnni_i8_rows(const std::uint8_t* row,
                                                              const std::uint8_t* const* others, std::size_t stride,
                                                              float* out) {
    const __m512i top_bits = _mm512_set1_epi8(static_cast<char>(0x80));
    __m512i sums[n], excess = _mm512_setzero_si512();
    for (std::size_t k = 0; k < n; ++k) sums[k] = _mm512_setzero_si512();
    for (std::size_t i = 0; i < stride; i += 64) {
        const __m512i a = _mm512_load_si512(row + i);
        excess = _mm512_dpbusd_epi32(excess, top_bits, a);
        for (std::size_t k = 0; k < n; ++k) {
            const __m512i b = _mm512_xor_si512(_mm512_load_si512(others[k] + i), top_bits);
            sums[k] = _mm512_dpbusd_epi32(sums[k], b, a);
        }
    }
    __m256i halves[n];
    for (std::size_t k = 0; k < n; ++k) {
        const __m512i sum = _mm512_sub_epi32(sums[k], excess);
        // With a mask: what GCC 12 makes of the others warns of something uninitialized.
        halves[k] = _mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xf, sum, 0),
                                     _mm512_maskz_extracti64x4_epi64(0xf, sum, 1));
    }
    add_lanes<n>(halves, out);
}

__attribute__((target(MEMVID_VNNI))) void vnni_i8(const std::uint8_t* row, const std::uint8_t* const* others,
                                                  std::size_t count, std::size_t stride, float* out) {
    in_fours(
        others, count, stride, [=](std::size_t k) { vnni_i8_rows<4>(row, others + k, stride, out + k); },
        [=](std::size_t k) { vnni_i8_rows<1>(row, others + k, stride, out + k); });
}

template <Scalar scalar>
__attribute__((target("avx2,f16c"))) inline __m256 eight_of(const std::uint8_t* row, std::size_t i) {
    if constexpr (scalar == Scalar::f16)
        return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(row + 2 * i)));
    else
        return _mm256_load_ps(reinterpret_cast<const float*>(row + 4 * i));
}

// No fused multiplication: it would not round where the portable loop does.
template <Scalar scalar, std::size_t n>
__attribute__((target("avx2,f16c"))) inline void avx2_float_rows(const std::uint8_t* row,
                                                                 const std::uint8_t* const* others, std::size_t stride,
                                                                 float* out) {
    const std::size_t size = stride / scalar_bytes(scalar);
    __m256 low[n], high[n];
    for (std::size_t k = 0; k < n; ++k) low[k] = high[k] = _mm256_setzero_ps();
    for (std::size_t i = 0; i < size; i += lanes) {
        const __m256 a = eight_of<scalar>(row, i), c = eight_of<scalar>(row, i + 8);
        for (std::size_t k = 0; k < n; ++k) {
            low[k] = _mm256_add_ps(low[k], _mm256_mul_ps(a, eight_of<scalar>(others[k], i)));
            high[k] = _mm256_add_ps(high[k], _mm256_mul_ps(c, eight_of<scalar>(others[k], i + 8)));
        }
    }
    for (std::size_t k = 0; k < n; ++k) {
        const __m256 eight = _mm256_add_ps(low[k], high[k]);
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_add_ps(four, _mm_movehl_ps(four, four));
        out[k] = _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
    }
}

template <Scalar scalar>
__attribute__((target("avx2,f16c"))) void avx2_float(const std::uint8_t* row, const std::uint8_t* const* others,
                                                     std::size_t count, std::size_t stride, float* out) {
    in_fours(
        others, count, stride, [=](std::size_t k) { avx2_float_rows<scalar, 4>(row, others + k, stride, out + k); },
        [=](std::size_t k) { avx2_float_rows<scalar, 1>(row, others + k, stride, out + k); });
}

// clang before 18 knows no name for F16C.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

#endif

RowProducts::Kernel portable_kernel(Scalar scalar) {
    return scalar == Scalar::i8    ? portable_i8
           : scalar == Scalar::f16 ? portable_float<Scalar::f16>
                                   : portable_float<Scalar::f32>;
}

RowProducts::Kernel kernel_of(Scalar scalar, Instructions instructions) {
    if (instructions > best_instructions()) throw Error(ErrorCode::config, "this processor lacks such instructions");
#ifdef MEMVID_X86
    if (instructions != Instructions::portable) {
        if (scalar == Scalar::i8) return instructions == Instructions::avx2 ? avx2_i8 : vnni_i8;
        return scalar == Scalar::f16 ? avx2_float<Scalar::f16> : avx2_float<Scalar::f32>;
    }
#endif
    return portable_kernel(scalar);
}

}  // namespace

Instructions best_instructions() {
#ifdef MEMVID_X86
    static const Instructions best = [] {
        if (!__builtin_cpu_supports("avx2") || !has_f16c()) return Instructions::portable;
        const bool vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
        return vnni ? Instructions::avx512_vnni : Instructions::avx2;
    }();
    return best;
#else
    return Instructions::portable;
#endif
}

RowProducts::RowProducts(Scalar scalar, std::size_t dim, Instructions instructions)
    : scalar_(scalar),
      row_bytes_(dim * scalar_bytes(scalar)),
      stride_((row_bytes_ + border - 1) / border * border),
      kernel_(kernel_of(scalar, instructions)) {}

}  // namespace memvid
