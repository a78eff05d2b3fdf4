// On which side of their mean the components of stored vectors are, a bit each: from those the product with a query is
// estimated in a tenth of the time, and of the nearest vectors nearly all are among the few that it puts first.
//
// As in row_codes.hpp a factor makes the estimate right on average (RaBitQ, Gao and Long 2024). How far a vector goes
// along the mean of all is kept as a number, and estimated is only the rest: with many models the mean is most of a vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/similarity.hpp"
#include "memvid/stable_array.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

// The same of the same vectors on every machine. Safe to share between threads.
class RowSigns {
public:
    // `matrix` holds vectors as they are stored, `row_bytes` each; `dim` is the number of their components, of codes the
    // rotated ones. Takes about 0.2 us a vector and core, and keeps 8 bytes and a bit a component of each, up to a
    // multiple of 64 bytes.
    RowSigns(ByteView matrix, std::size_t row_bytes, std::size_t dim, Scalar scalar, ThreadPool& pool,
             Instructions instructions = best_instructions());

    struct Asked {
        PreparedQuery query;  // what it is apart from the mean
        float scale;          // of its products
        float along;          // the mean
    };
    // What `estimate` takes for a query that was prepared for the vectors.
    Asked prepared(const PreparedQuery& query) const;
    // Of each of `vectors` the product with it as one of length 1, less that of the mean.
    void estimate(const Asked& asked, std::span<const std::uint32_t> vectors, std::span<float> products) const;

    // What is kept of a vector, `row_bytes` of it: how far it goes along the mean, factor, signs.
    const std::uint8_t* row(std::size_t vector) const { return signs_[vector]; }
    std::size_t row_bytes() const { return row_bytes_; }

private:
    using Dots = void (*)(const StableArray& signs, const PreparedQuery& query, std::span<const std::uint32_t> vectors,
                          float* dots);

    std::vector<float> mean_;  // with zeros up to a multiple of 64
    std::size_t row_bytes_;
    StableArray signs_;
    Dots dots_;
};

}  // namespace memvid
