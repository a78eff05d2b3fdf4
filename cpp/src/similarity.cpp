#include "memvid/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "memvid/code_products.hpp"
#include "memvid/half_float.hpp"
#include "memvid/rotation.hpp"
#include "memvid/x86.hpp"

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

PreparedQuery::DoubleKernel portable_double_kernel(Scalar scalar) {
    return scalar == Scalar::i8    ? lane_products<Scalar::i8, double>
           : scalar == Scalar::f16 ? lane_products<Scalar::f16, double>
                                   : lane_products<Scalar::f32, double>;
}

#ifdef MEMVID_X86

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

// Bytes are multiplied as unsigned by signed: b + 128 by the query, from which 128 times the query's sum is taken away
// again; and by b, likewise.
__attribute__((target(MEMVID_VNNI))) Products vnni_i8(const PreparedQuery& query, const std::uint8_t* row) {
    const std::int8_t* a = query.bytes().data();
    const std::size_t dim = query.dim();
    const __m512i top_bits = _mm512_set1_epi8(static_cast<char>(0x80));
    __m512i dots = _mm512_setzero_si512(), norms = dots, excess = dots;
    for (std::size_t i = 0; i < dim; i += 64) {
        const __mmask64 there = dim - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (dim - i)) - 1;
        const __m512i b = _mm512_maskz_loadu_epi8(there, row + i);
        const __m512i above = _mm512_xor_si512(b, top_bits);
        dots = _mm512_dpbusd_epi32(dots, above, _mm512_loadu_si512(a + i));
        norms = _mm512_dpbusd_epi32(norms, above, b);
        excess = _mm512_dpbusd_epi32(excess, top_bits, b);
    }
    return {static_cast<float>(sum(dots) - 128 * query.sum()),
            static_cast<float>(sum(_mm512_sub_epi32(norms, excess)))};
}

// The components of a row from i on.
template <Scalar scalar>
__attribute__((target("avx2,f16c"))) inline __m256 eight(const std::uint8_t* row, std::size_t i) {
    if constexpr (scalar == Scalar::i8)
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i))));
    else if constexpr (scalar == Scalar::f16)
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 2 * i)));
    else
        return _mm256_loadu_ps(reinterpret_cast<const float*>(row + 4 * i));
}

template <Scalar scalar>
__attribute__((target("avx2,fma,f16c"))) Products avx2_float(const PreparedQuery& query, const std::uint8_t* row) {
    const float* a = query.direction().data();
    const std::size_t dim = query.dim();
    __m256 dots = _mm256_setzero_ps(), norms = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 8 <= dim; i += 8) {
        const __m256 x = _mm256_loadu_ps(a + i), y = eight<scalar>(row, i);
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

// Adds the same eight sums, in the same order, as lane_products() does: no product is added without being rounded.
template <Scalar scalar>
__attribute__((target("avx2,f16c"))) std::pair<double, double> avx2_double(std::span<const float> query,
                                                                           const std::uint8_t* row) {
    constexpr std::size_t lanes = 8;
    const std::size_t dim = query.size(), whole = dim - dim % lanes;
    __m256d dots[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()}, norms[2] = {dots[0], dots[0]};
    for (std::size_t i = 0; i < whole; i += lanes) {
        const __m256 y = eight<scalar>(row, i);
        const __m128 halves[2] = {_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1)};
        for (std::size_t half = 0; half < 2; ++half) {
            const __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(query.data() + i + 4 * half));
            const __m256d b = _mm256_cvtps_pd(halves[half]);
            dots[half] = _mm256_add_pd(dots[half], _mm256_mul_pd(a, b));
            norms[half] = _mm256_add_pd(norms[half], _mm256_mul_pd(b, b));
        }
    }
    double dot[lanes], norm[lanes];
    for (std::size_t half = 0; half < 2; ++half) {
        _mm256_storeu_pd(dot + 4 * half, dots[half]);
        _mm256_storeu_pd(norm + 4 * half, norms[half]);
    }
    for (std::size_t i = whole; i < dim; ++i) {
        const double b = component<scalar>(row, i);
        dot[i - whole] += query[i] * b;
        norm[i - whole] += b * b;
    }
    return {std::accumulate(dot, dot + lanes, 0.0), std::accumulate(norm, norm + lanes, 0.0)};
}

#endif

// So that the largest component is 1 or -1.
void scale(std::vector<float>& values) {
    float peak = 0;
    for (const float value : values) peak = std::max(peak, std::abs(value));
    if (peak == 0) return;
    for (float& value : values) value /= peak;
}

}  // namespace

PreparedQuery::PreparedQuery(std::span<const float> query, Scalar scalar, Instructions instructions,
                             const Rotation* rotation)
    : kernel_(portable_kernel(scalar)),
      float_kernel_(portable_float_kernel(scalar)),
      double_kernel_(portable_double_kernel(scalar)),
      direction_(query.begin(), query.end()) {
#ifdef MEMVID_X86
    if (instructions != Instructions::portable) {
        double_kernel_ = scalar == Scalar::i8    ? avx2_double<Scalar::i8>
                         : scalar == Scalar::f16 ? avx2_double<Scalar::f16>
                                                 : avx2_double<Scalar::f32>;
        if (__builtin_cpu_supports("fma"))
            float_kernel_ = scalar == Scalar::i8    ? avx2_float<Scalar::i8>
                            : scalar == Scalar::f16 ? avx2_float<Scalar::f16>
                                                    : avx2_float<Scalar::f32>;
        kernel_ = scalar != Scalar::i8 ? float_kernel_ : instructions == Instructions::avx2 ? avx2_i8 : vnni_i8;
    }
#endif
    scale(direction_);
    if (is_code(scalar)) {
        if (rotation != nullptr) {
            std::vector<float> turned(rotation->size());
            rotation->turn(std::span<const float>(direction_), std::span(turned));
            direction_ = std::move(turned);
            scale(direction_);
        }
        direction_.resize((direction_.size() + 63) / 64 * 64);
        kernel_ = code_kernel(scalar, instructions);
        float_kernel_ = scaled_code_kernel(scalar, instructions);
        double_kernel_ = code_double_kernel(scalar);
    }
    for (const float value : direction_) norm_ += static_cast<double>(value) * static_cast<double>(value);
    norm_ = std::sqrt(norm_);
    if (scalar == Scalar::f16 || scalar == Scalar::f32) return;
    rounded_.reserve(direction_.size());
    for (const float value : direction_)
        rounded_.push_back(static_cast<std::int16_t>(std::lrintf(value * rounded_peak)));
    bytes_.assign(rounded_.begin(), rounded_.end());
    bytes_.resize((rounded_.size() + 63) / 64 * 64);
    sum_ = std::accumulate(rounded_.begin(), rounded_.end(), 0);
    if (!is_code(scalar)) return;
    const std::size_t words = bytes_.size() / 64;
    planes_.resize(8 * words);
    for (std::size_t i = 0; i < bytes_.size(); ++i)
        for (std::size_t bit = 0; bit < 8; ++bit)
            planes_[bit * words + i / 64] |= std::uint64_t{static_cast<std::uint8_t>(bytes_[i]) >> bit & 1U} << (i % 64);
}

float PreparedQuery::slack() const {
    // Summing n products is off by at most n * 2**-24 of the lengths, whatever the order of the sum; so is the square of
    // a length, of which the root takes half.
    if (planes_.empty()) return static_cast<float>(3 * direction_.size() + 16) * 0x1p-24F;
    // Each component of the query was rounded by up to half a step, as often up as down: that is eight times the mean of
    // what comes together, for a code that is as near to its vector as one bit a component makes it.
    return norm_ > 0 ? static_cast<float>(8 * 0.29 * 1.25 / (rounded_peak * norm_)) : 0;
}

float PreparedQuery::cosine(const std::uint8_t* row) const {
    const auto [dot, norm] = double_kernel_(direction_, row);
    const double cosine = dot / (std::sqrt(norm) * norm_);
    return std::isfinite(cosine) ? static_cast<float>(std::clamp(cosine, -1.0, 1.0)) : 0;
}

}  // namespace memvid
