// Search in a mapped usearch file (format 2, cosine, u32 slots; the layout is in src/memvid/index/hnsw_file.py).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/similarity.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

struct Hit {
    std::uint32_t row;
    float score;
};

// Safe to share between threads.
class HnswGraph {
public:
    // `file` must outlive this and stay as it is. Costs a pass over 2 bytes a vector and keeps 4. Throws Error(format)
    // when sizes or numbers in its headers cannot be.
    HnswGraph(ByteView file, std::size_t count, std::size_t dim, Scalar scalar, std::size_t threads);

    std::size_t count() const { return count_; }
    std::size_t dim() const { return dim_; }

    // For each query, `dim` floats after another: up to `k` rows nearest by cosine, best first, ties by row. A beam of
    // `expansion` candidates walks the graph; the best `k + spare` of them are compared again, with the query as it was
    // given and in double precision. Throws Error(format) where a node links to one that does not exist.
    std::vector<std::vector<Hit>> nearest(std::span<const float> queries, std::size_t k, std::size_t expansion,
                                          std::size_t spare, const Poll& poll) const;

    // The best `k` of `rows`, or of all there are, by comparing with each: about 40 ns a row and core, as long as they
    // are in memory. Throws Error(config) for a row there is none of.
    std::vector<Hit> exact(std::span<const float> query, std::optional<std::span<const std::int64_t>> rows,
                           std::size_t k, const Poll& poll) const;

private:
    struct Beam;
    struct Links;

    std::vector<Hit> nearest(const PreparedQuery& query, std::size_t k, std::size_t expansion, std::size_t spare) const;
    std::uint32_t descend(const PreparedQuery& query) const;
    void walk(const PreparedQuery& query, std::uint32_t start, Beam& beam) const;
    template <typename Rows>
    std::vector<Hit> scan(const PreparedQuery& query, const Rows& rows, std::size_t begin, std::size_t end,
                          std::size_t k) const;
    void keep_best(const PreparedQuery& query, std::vector<Hit>& hits, std::size_t k) const;
    const std::uint8_t* vector(std::uint32_t row) const { return matrix_ + row * row_bytes_; }
    const std::uint8_t* node(std::uint32_t row) const;
    std::size_t level_of(std::uint32_t row) const;
    std::span<const std::uint8_t> links(std::uint32_t row, std::size_t level) const;
    std::uint32_t neighbour(std::span<const std::uint8_t> links, std::size_t i) const;
    float similarity(const PreparedQuery& query, std::uint32_t row) const;
    void prefetch(const std::uint8_t* from, std::size_t bytes) const;

    std::size_t count_, dim_, row_bytes_;
    Scalar scalar_;
    const std::uint8_t* matrix_ = nullptr;
    const std::uint8_t* nodes_ = nullptr;
    std::size_t base_room_ = 0, upper_room_ = 0, top_level_ = 0;
    std::uint32_t entry_ = 0;
    std::vector<std::uint32_t> levels_before_;  // for each node and the end: the levels above 0 in front of it
    mutable ThreadPool pool_;
};

}  // namespace memvid
