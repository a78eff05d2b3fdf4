#include "memvid/code_products.hpp"

#include <bit>
#include <cstring>

#include "memvid/row_codes.hpp"
#include "memvid/x86.hpp"

namespace memvid {

namespace {

constexpr std::size_t factor_bytes = sizeof(float);

float factor_of(const std::uint8_t* row) {
    float factor;
    std::memcpy(&factor, row, sizeof factor);
    return factor;
}

// Codes are 2 * u - 15, with u from 0 to 15.
std::int32_t portable_code4(const PreparedQuery& query, const std::uint8_t* codes) {
    const std::int8_t* a = query.bytes().data();
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < query.dim(); i += 64, codes += 32)
        for (std::size_t j = 0; j < 32; ++j) sum += a[i + j] * (codes[j] & 15) + a[i + 32 + j] * (codes[j] >> 4);
    return 2 * sum - 15 * query.sum();
}

// Codes are 2 * u - 1. The query is added up by its bits, of which the highest counts negative.
std::int32_t portable_code1(const PreparedQuery& query, const std::uint8_t* codes) {
    const std::size_t words = query.dim() / 64;
    std::int32_t sum = 0;
    for (std::size_t word = 0; word < words; ++word) {
        std::uint64_t ones;
        std::memcpy(&ones, codes + 8 * word, sizeof ones);
        for (std::size_t bit = 0; bit < 8; ++bit) {
            const std::int32_t count = std::popcount(query.planes()[bit * words + word] & ones);
            sum += bit == 7 ? -(count << bit) : count << bit;
        }
    }
    return 2 * sum - query.sum();
}

#ifdef MEMVID_X86

__attribute__((target("avx2"))) std::int32_t avx2_code4(const PreparedQuery& query, const std::uint8_t* codes) {
    const std::int8_t* a = query.bytes().data();
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i sums = _mm256_setzero_si256();
    for (std::size_t i = 0; i < query.dim(); i += 64, codes += 32) {
        const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
        const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i));
        const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i + 32));
        // Two pairs of products of at most 15 and 127: 16 bits hold their sum.
        const __m256i products =
            _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(both, low), first),
                             _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(both, 4), low), second));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, ones));
    }
    return 2 * sum(sums) - 15 * query.sum();
}

__attribute__((target("avx2"))) std::int32_t avx2_code1(const PreparedQuery& query, const std::uint8_t* codes) {
    const std::int8_t* a = query.bytes().data();
    const __m256i ones = _mm256_set1_epi16(1), unit = _mm256_set1_epi8(1);
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                            2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bits = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
    __m256i sums = _mm256_setzero_si256();
    for (std::size_t i = 0; i < query.dim(); i += 64, codes += 8) {
        const auto half = [&](std::size_t at) __attribute__((target("avx2"))) {
            std::int32_t four;
            std::memcpy(&four, codes + at / 8, sizeof four);
            const __m256i spaced = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(four), spread), bits);
            const __m256i chosen = _mm256_cmpeq_epi8(spaced, bits);
            const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i + at));
            return _mm256_maddubs_epi16(unit, _mm256_and_si256(values, chosen));
        };
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_add_epi16(half(0), half(32)), ones));
    }
    return 2 * sum(sums) - query.sum();
}

__attribute__((target(MEMVID_VNNI))) std::int32_t vnni_code4(const PreparedQuery& query, const std::uint8_t* codes) {
    const std::int8_t* a = query.bytes().data();
    const __m256i low = _mm256_set1_epi8(15);
    __m256i first = _mm256_setzero_si256(), second = first;
    for (std::size_t i = 0; i < query.dim(); i += 64, codes += 32) {
        const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
        first = _mm256_dpbusd_epi32(first, _mm256_and_si256(both, low),
                                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i)));
        second = _mm256_dpbusd_epi32(second, _mm256_and_si256(_mm256_srli_epi16(both, 4), low),
                                     _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i + 32)));
    }
    return 2 * sum(_mm256_add_epi32(first, second)) - 15 * query.sum();
}

__attribute__((target(MEMVID_VNNI))) std::int32_t vnni_code1(const PreparedQuery& query, const std::uint8_t* codes) {
    return 2 * sum_of_chosen(query.bytes().data(), query.dim(), codes) - query.sum();
}

#endif

using Dot = std::int32_t (*)(const PreparedQuery&, const std::uint8_t*);

template <Dot dot, bool is_scaled>
Products products_by(const PreparedQuery& query, const std::uint8_t* row) {
    const float product = static_cast<float>(dot(query, row + factor_bytes)) * factor_of(row);
    return {is_scaled ? product / PreparedQuery::rounded_peak : product, 1};
}

template <bool is_scaled>
PreparedQuery::Kernel kernel_of(Scalar scalar, [[maybe_unused]] Instructions instructions) {
#ifdef MEMVID_X86
    if (instructions == Instructions::avx512_vnni)
        return scalar == Scalar::code4 ? products_by<vnni_code4, is_scaled> : products_by<vnni_code1, is_scaled>;
    if (instructions == Instructions::avx2)
        return scalar == Scalar::code4 ? products_by<avx2_code4, is_scaled> : products_by<avx2_code1, is_scaled>;
#endif
    return scalar == Scalar::code4 ? products_by<portable_code4, is_scaled> : products_by<portable_code1, is_scaled>;
}

template <Scalar scalar>
std::pair<double, double> in_double(std::span<const float> query, const std::uint8_t* row) {
    constexpr std::size_t lanes = 8;  // side by side: in one sum, each addition would wait for the last
    double sums[lanes] = {};
    for (std::size_t i = 0; i < query.size(); i += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane)
            sums[lane] += static_cast<double>(query[i + lane]) *
                          code_component(row + factor_bytes, i + lane, code_bits(scalar));
    double sum = 0;
    for (const double each : sums) sum += each;
    return {sum * static_cast<double>(factor_of(row)), 1};
}

}  // namespace

PreparedQuery::Kernel code_kernel(Scalar scalar, Instructions instructions) {
    return kernel_of<false>(scalar, instructions);
}

PreparedQuery::Kernel scaled_code_kernel(Scalar scalar, Instructions instructions) {
    return kernel_of<true>(scalar, instructions);
}

PreparedQuery::DoubleKernel code_double_kernel(Scalar scalar) {
    return scalar == Scalar::code4 ? in_double<Scalar::code4> : in_double<Scalar::code1>;
}

}  // namespace memvid
