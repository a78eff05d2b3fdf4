// The vectors that a graph is built of: each different one once, and which rows are copies of an earlier one.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/row_products.hpp"
#include "memvid/stable_array.hpp"

namespace memvid {

// A row whose vector is that of an earlier one, and the node that stands for both.
struct Copy {
    std::uint32_t row;
    std::uint32_t node;
};

// Rows come in order; the first with its vector becomes the next node. Not safe to share while rows are added.
class DistinctRows {
public:
    explicit DistinctRows(const RowProducts& products);

    // Takes a row; returns whether it is a node of its own. Throws Error(config) for a component that a vector may not
    // have (-128 in i8, NaN or infinity in others), and for more rows than a graph can number.
    bool add(const std::uint8_t* vector);

    std::size_t rows() const { return nodes() + copies_.size(); }
    std::size_t nodes() const { return inverse_norms_.size(); }
    // Ascending by row.
    const std::vector<Copy>& copies() const { return copies_; }

    // `stride()` bytes on a border of 64: the vector and zeros.
    const std::uint8_t* row(std::uint32_t node) const { return vectors_[node]; }
    // 1 / length; 0 where a vector has no direction.
    float inverse_norm(std::uint32_t node) const { return inverse_norms_[node]; }

    // Cosine similarity of two nodes, of their product and the inverse norm of one of them.
    float similarity(float dot, float inverse_norm, std::uint32_t other) const {
        const float cosine = dot * (inverse_norm * inverse_norms_[other]);
        return std::isfinite(cosine) ? cosine : 0;  // floats may be too large for their products
    }

    const RowProducts& products() const { return products_; }

private:
    struct Slot {
        std::uint32_t tag;   // half of the vector's hash
        std::uint32_t node;  // `none`: free
    };

    Slot* find(const std::uint8_t* vector, std::uint64_t hash);
    void make_room();

    const RowProducts products_;
    StableArray vectors_;
    std::vector<float> inverse_norms_;
    std::vector<Copy> copies_;
    std::vector<Slot> slots_;  // open addressing, at most half full
};

}  // namespace memvid
