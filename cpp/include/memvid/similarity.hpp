// Products of a query with stored vectors, by the fastest instructions this processor has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace memvid {

// How vectors are stored: as numbers, or as codes of 4 bits or 1 bit a component (row_codes.hpp).
enum class Scalar : std::uint8_t { i8, f16, f32, code4, code1 };

constexpr bool is_code(Scalar scalar) { return scalar == Scalar::code4 || scalar == Scalar::code1; }
constexpr std::size_t code_bits(Scalar scalar) { return scalar == Scalar::code1 ? 1 : 4; }

// Of a number.
constexpr std::size_t scalar_bytes(Scalar scalar) { return scalar == Scalar::i8 ? 1 : scalar == Scalar::f16 ? 2 : 4; }

class Rotation;

// What a comparison by cosine needs of one stored vector: its product with the query, and with itself.
struct Products {
    float dot;
    float norm;
};

// Sets of instructions, from what every processor has to what few have.
enum class Instructions : std::uint8_t { portable, avx2, avx512_vnni };

// The best this processor has.
Instructions best_instructions();

// A query in the forms that the products are taken from. Where vectors are stored as i8 or as codes, it is rounded.
class PreparedQuery {
public:
    // `instructions` must be among those that this processor has; `rotation` is that of the codes, if there is one.
    PreparedQuery(std::span<const float> query, Scalar scalar, Instructions instructions = best_instructions(),
                  const Rotation* rotation = nullptr);

    // `row` is one stored vector, aligned or not. Products of i8 are exact, whatever the instructions; so are those of
    // codes but for a factor, and the norm of these is 1.
    Products products(const std::uint8_t* row) const { return kernel_(*this, row); }

    // The same with the query as it was given, scaled but not rounded; codes take the rounded one, which is scaled.
    Products float_products(const std::uint8_t* row) const { return float_kernel_(*this, row); }

    // Cosine similarity of the query as it was given and the stored vector, summed in double precision, in the same
    // order whatever the instructions; 0 where one of them has no direction, or is not finite: hits can always be
    // sorted.
    float cosine(const std::uint8_t* row) const;

    // How far a cosine of `float_products` may be from that of `cosine`.
    float slack() const;

    std::span<const std::int16_t> rounded() const { return rounded_; }
    // The same as bytes, with zeros up to a multiple of 64; and what they add up to.
    std::span<const std::int8_t> bytes() const { return bytes_; }
    // The same as bits: the lowest of all components, the second lowest, ...; of codes only.
    std::span<const std::uint64_t> planes() const { return planes_; }
    std::int32_t sum() const { return sum_; }
    std::span<const float> direction() const { return direction_; }
    std::size_t dim() const { return direction_.size(); }
    // Length of `direction`.
    float norm() const { return static_cast<float>(norm_); }

    using Kernel = Products (*)(const PreparedQuery&, const std::uint8_t*);
    using DoubleKernel = std::pair<double, double> (*)(std::span<const float>, const std::uint8_t*);
    static constexpr float rounded_peak = 127;  // the largest component of a rounded query

private:
    Kernel kernel_, float_kernel_;
    DoubleKernel double_kernel_;
    double norm_ = 0;
    std::vector<float> direction_;       // scaled so that its largest component is 1 or -1
    std::vector<std::int16_t> rounded_;  // the same times 127; not of floats, as the next two
    std::vector<std::int8_t> bytes_;
    std::vector<std::uint64_t> planes_;
    std::int32_t sum_ = 0;
};

}  // namespace memvid
