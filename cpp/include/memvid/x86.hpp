// What kernels for x86-64 share. MEMVID_X86 is defined where they can be compiled; whether a processor has the
// instructions is asked when they are chosen.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MEMVID_X86 1
#define MEMVID_VNNI "avx2,avx512f,avx512bw,avx512vl,avx512vnni"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace memvid {

__attribute__((target("avx2"))) inline std::int32_t sum(__m256i lanes) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

__attribute__((target("avx2"))) inline float sum(__m256 lanes) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

__attribute__((target(MEMVID_VNNI))) inline std::int32_t sum(__m512i lanes) {
    // With a mask: what GCC 12 makes of the others warns of something uninitialized.
    return sum(_mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xf, lanes, 0),
                                _mm512_maskz_extracti64x4_epi64(0xf, lanes, 1)));
}

// The sum of those of `size` bytes, a multiple of 64, of which a bit is set.
__attribute__((target(MEMVID_VNNI))) inline std::int32_t sum_of_chosen(const std::int8_t* values, std::size_t size,
                                                                       const std::uint8_t* bits) {
    const __m512i unit = _mm512_set1_epi8(1);
    __m512i even = _mm512_setzero_si512(), odd = even;  // in one sum, each addition would wait for the last
    const auto chosen = [&](std::size_t at) __attribute__((target(MEMVID_VNNI))) {
        std::uint64_t ones;
        std::memcpy(&ones, bits + at / 8, sizeof ones);
        return _mm512_maskz_loadu_epi8(ones, values + at);
    };
    std::size_t at = 0;
    for (; at + 128 <= size; at += 128) {
        even = _mm512_dpbusd_epi32(even, unit, chosen(at));
        odd = _mm512_dpbusd_epi32(odd, unit, chosen(at + 64));
    }
    if (at < size) even = _mm512_dpbusd_epi32(even, unit, chosen(at));
    return sum(_mm512_add_epi32(even, odd));
}

}  // namespace memvid

#endif
