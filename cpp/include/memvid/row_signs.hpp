// On which side of their mean the components of stored vectors are, a bit each: from those the product with a query is
// estimated in a tenth of the time, and of the nearest vectors nearly all are among the few that it puts first.
//
// As in row_codes.hpp a factor makes the estimate right on average (RaBitQ, Gao and Long 2024). How far a vector goes
// along the mean of all is kept as a number, and estimated is only the rest: with many models the mean is most of a vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/similarity.hpp"
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

    // How far a vector goes along the mean, factor and signs, on a border of 64 bytes: a line of the cache.
    const std::uint8_t* row(std::size_t vector) const { return signs_.data()->bytes + vector * lines_ * line; }

    struct Asked {
        PreparedQuery query;  // what it is apart from the mean
        float scale;          // of its products
        float along;          // the mean
    };
    // What `estimate` takes for a query that was prepared for the vectors.
    Asked prepared(const PreparedQuery& query) const;
    // The product with a vector of length 1, less that of the mean.
    float estimate(const Asked& asked, std::size_t vector) const {
        const std::uint8_t* const at = row(vector);
        float along;
        std::memcpy(&along, at, sizeof along);
        return asked.scale * asked.query.float_products(at + sizeof along).dot + asked.along * along;
    }

private:
    static constexpr std::size_t line = 64;
    struct alignas(line) Line {
        std::uint8_t bytes[line];
    };

    std::vector<float> mean_;  // with zeros up to a multiple of 64
    std::size_t lines_;        // of a vector
    std::vector<Line> signs_;
};

}  // namespace memvid
