// Products of a query with stored vectors, by the fastest instructions this processor has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace memvid {

enum class Scalar : std::uint8_t { i8, f16, f32 };

constexpr std::size_t scalar_bytes(Scalar scalar) { return scalar == Scalar::i8 ? 1 : scalar == Scalar::f16 ? 2 : 4; }

// What a comparison by cosine needs of one stored vector: its product with the query, and with itself.
struct Products {
    float dot;
    float norm;
};

// Sets of instructions, from what every processor has to what few have.
enum class Instructions : std::uint8_t { portable, avx2, avx512_vnni };

// The best this processor has.
Instructions best_instructions();

// A query in the forms that the products are taken from. Where vectors are stored as i8, it is rounded like them.
class PreparedQuery {
public:
    // `instructions` must be among those that this processor has.
    PreparedQuery(std::span<const float> query, Scalar scalar, Instructions instructions = best_instructions());

    // `row` is one stored vector, aligned or not. Products of i8 are exact, whatever the instructions.
    Products products(const std::uint8_t* row) const { return kernel_(*this, row); }

    // The same with the query as it was given, scaled but not rounded.
    Products float_products(const std::uint8_t* row) const { return float_kernel_(*this, row); }

    // Cosine similarity of the query as it was given and the stored vector, summed in double precision, in the same
    // order whatever the instructions; 0 where one of them has no direction, or is not finite: hits can always be
    // sorted.
    float cosine(const std::uint8_t* row) const;

    std::span<const std::int16_t> rounded() const { return rounded_; }
    // The same as bytes, with zeros up to a multiple of 64; and what they add up to.
    std::span<const std::int8_t> bytes() const { return bytes_; }
    std::int32_t sum() const { return sum_; }
    std::span<const float> direction() const { return direction_; }
    std::size_t dim() const { return direction_.size(); }
    // Length of `direction`.
    float norm() const { return static_cast<float>(norm_); }

    using Kernel = Products (*)(const PreparedQuery&, const std::uint8_t*);
    using DoubleKernel = std::pair<double, double> (*)(std::span<const float>, const std::uint8_t*);

private:
    Kernel kernel_, float_kernel_;
    DoubleKernel double_kernel_;
    double norm_ = 0;
    std::vector<float> direction_;       // scaled so that its largest component is 1 or -1
    std::vector<std::int16_t> rounded_;  // the same times 127; of i8 only, as the next two
    std::vector<std::int8_t> bytes_;
    std::int32_t sum_ = 0;
};

}  // namespace memvid
