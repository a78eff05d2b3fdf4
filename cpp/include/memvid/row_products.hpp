// Products of stored vectors with each other: the same bits on every processor, whatever instructions it has.
//
// Those of i8 are whole numbers. Those of f16 and f32 are sums in a fixed order: sixteen of them side by side, which
// are then added in pairs; a product is rounded before it is added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "memvid/similarity.hpp"

namespace memvid {

class RowProducts {
public:
    // Throws Error(config) for instructions that this processor does not have.
    RowProducts(Scalar scalar, std::size_t dim, Instructions instructions = best_instructions());

    Scalar scalar() const { return scalar_; }
    std::size_t dim() const { return row_bytes_ / scalar_bytes(scalar_); }
    // Bytes of a vector, and of a row in memory: a vector, and zeros up to a multiple of 64.
    std::size_t row_bytes() const { return row_bytes_; }
    std::size_t stride() const { return stride_; }

    // The product of `row` with each of `others`. All of them are `stride()` bytes; a component of i8 is never -128.
    void dots(const std::uint8_t* row, std::span<const std::uint8_t* const> others, float* out) const {
        kernel_(row, others.data(), others.size(), stride_, out);
    }

    float dot(const std::uint8_t* a, const std::uint8_t* b) const {
        float result = 0;
        dots(a, {&b, 1}, &result);
        return result;
    }

    using Kernel = void (*)(const std::uint8_t* row, const std::uint8_t* const* others, std::size_t count,
                            std::size_t stride, float* out);

private:
    Scalar scalar_;
    std::size_t row_bytes_, stride_;
    Kernel kernel_;
};

}  // namespace memvid
