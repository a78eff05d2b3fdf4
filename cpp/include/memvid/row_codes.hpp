// Vectors as codes of 4 bits or 1 bit a component, each with a factor that makes their products right on average.
//
// A vector is rotated (rotation.hpp), and the code is the vector of odd numbers, of -15 to 15 or of -1 and 1, whose
// direction is nearest to that. With the unit vector o and its code v, <v, q> / <v, o> estimates <o, q> for any q without
// a bias (RaBitQ, Gao and Long 2024; with more than one bit Gao et al. 2025): a row keeps 1 / <v, o>, its factor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "memvid/bytes.hpp"
#include "memvid/rotation.hpp"
#include "memvid/similarity.hpp"

namespace memvid {

// Of a code of 64 components the first 32 are the low halves of its 32 bytes, the others the high ones; of one bit each,
// they are the bits of 8 bytes, the lowest first.
inline int code_component(const std::uint8_t* codes, std::size_t i, std::size_t bits) {
    if (bits == 1) return (codes[i / 8] >> (i % 8) & 1) != 0 ? 1 : -1;
    const std::uint8_t both = codes[i / 64 * 32 + i % 32];
    return 2 * (i % 64 < 32 ? both & 15 : both >> 4) - 15;
}

// The same input gives the same code on every machine. Safe to share between threads.
class RowCoder {
public:
    // The largest component that a vector may have, positive or negative.
    static constexpr int peak = 8191;

    // Throws Error(config) for a scalar that is no code, and for dimensions there cannot be.
    RowCoder(std::size_t dim, Scalar scalar);

    const Rotation& rotation() const { return rotation_; }
    std::size_t dim() const { return rotation_.dim(); }
    // Components of a code.
    std::size_t size() const { return rotation_.size(); }
    // Bytes of a packed code with its factor, which is in front of it.
    std::size_t row_bytes() const { return sizeof(float) + size() * bits_ / 8; }

    // Fills `code` with odd numbers and returns its factor; 0 where the vector has no direction.
    float encode(std::span<const std::int16_t> vector, std::span<std::int8_t> code) const;
    void pack(std::span<const std::int8_t> code, float factor, std::span<std::uint8_t> row) const;
    // Returns the factor.
    float unpack(std::span<const std::uint8_t> row, std::span<std::int8_t> code) const;
    // The direction that a code stands for, `dim` whole numbers.
    void decode(std::span<const std::uint8_t> row, std::span<float> vector) const;

private:
    Rotation rotation_;
    std::size_t bits_;
};

}  // namespace memvid
