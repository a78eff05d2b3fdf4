// What kernels for x86-64 share. MEMVID_X86 is defined where they can be compiled; whether a processor has the
// instructions is asked when they are chosen.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MEMVID_X86 1
#define MEMVID_VNNI "avx2,avx512f,avx512bw,avx512vl,avx512vnni"

#include <immintrin.h>

#include <cstdint>

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

}  // namespace memvid

#endif
