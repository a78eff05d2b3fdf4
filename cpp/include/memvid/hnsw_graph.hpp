// Search in a mapped file of vectors: a usearch file (format 2, cosine, u32 slots; the layout is in
// src/memvid/index/hnsw_file.py), or one of codes (code_file.hpp), with a graph or without.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "memvid/beam.hpp"
#include "memvid/bytes.hpp"
#include "memvid/node_links.hpp"
#include "memvid/node_rows.hpp"
#include "memvid/row_codes.hpp"
#include "memvid/row_signs.hpp"
#include "memvid/seen_rows.hpp"
#include "memvid/similarity.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

struct Hit {
    std::uint32_t row;
    float score;
};

// What of the rows a search may find.
struct Wanted {
    const RowSet* allowed = nullptr;  // all, if there is none
    bool distinct = false;            // of rows with the same vector only the first
    // Vectors that a walk through all nodes compares to fill its beam with allowed ones, before it gives up.
    std::size_t through = SIZE_MAX;
    // Where that did, all that are allowed are skimmed, and so many of them compared; 0: nothing is found. A walk of no
    // vectors is not begun.
    std::size_t skimmed = 0;
};

// Safe to share between threads.
class HnswGraph {
public:
    // `file` must outlive this and stay as it is; `scalar` says which of the two it is. Costs a pass over 2 bytes a vector
    // and keeps 4 (8 of codes with a graph). Throws Error(format) when sizes or numbers in its headers cannot be.
    HnswGraph(ByteView file, std::size_t rows, std::size_t dim, Scalar scalar, std::size_t threads);

    const NodeRows& rows() const { return rows_; }
    std::size_t count() const { return rows_.rows(); }
    std::size_t nodes() const { return count_; }
    std::size_t dim() const { return dim_; }
    Scalar scalar() const { return scalar_; }
    // Whether there is a graph; else every search is an exact one.
    bool is_linked() const { return links_.any(); }
    const NodeLinks& links() const { return links_; }
    // Its vectors as they are stored.
    ByteView matrix() const { return {matrix_, count_ * row_bytes_}; }
    std::size_t row_bytes() const { return row_bytes_; }

    // Goes through all links, and all factors of codes. Throws Error(format) where one cannot be.
    void check() const;

    // The direction of a node's code, `dim` numbers. Throws Error(config) where there are no codes.
    void decode(std::uint32_t node, std::span<float> vector) const;
    PreparedQuery prepared(std::span<const float> query) const;

    // The cosine of a row there is.
    float cosine(const PreparedQuery& query, std::uint32_t row) const { return query.cosine(vector(rows_.node(row))); }

    // For each query, `dim` floats after another: up to `k` rows nearest by cosine, best first, ties by row. A beam of
    // `expansion` candidates walks the graph; the best `k + spare` of them are compared again, with the query as it was
    // given and in double precision. Where only some rows are allowed, the walk goes through all nodes, and goes on
    // until the beam is full of those it may keep; where that takes too long, all that are allowed are skimmed.
    // Throws Error(format) where a node links to one that does not exist, Error(config) where there is no graph.
    std::vector<std::vector<Hit>> nearest(std::span<const float> queries, std::size_t k, std::size_t expansion,
                                          std::size_t spare, const Wanted& wanted, const Poll& poll) const;

    // The same for one query, prepared by a graph of the same dimensions and scalar.
    std::vector<Hit> nearest(const PreparedQuery& query, std::size_t k, std::size_t expansion, std::size_t spare,
                             const Wanted& wanted) const;

    // The best `k` of `rows`, or of all there are, by comparing with each: about 40 ns a row and core, as long as they
    // are in memory. Throws Error(config) for a row there is none of.
    std::vector<Hit> exact(const PreparedQuery& query, std::optional<std::span<const std::int64_t>> rows,
                           std::size_t k, bool distinct, const Poll& poll) const;
    std::vector<Hit> exact(std::span<const float> query, std::optional<std::span<const std::int64_t>> rows,
                           std::size_t k, bool distinct, const Poll& poll) const {
        return exact(prepared(query), rows, k, distinct, poll);
    }

private:
    static constexpr std::size_t lookahead = 8;  // vectors on their way from memory while one is compared

    void open_usearch(ByteView file, std::size_t rows);
    void open_codes(ByteView file, std::size_t rows);
    // Below, a row is one of the matrix: a node.
    std::uint32_t descend(const PreparedQuery& query) const;
    // Until the `best` of the beam hardly change any more.
    void walk(const PreparedQuery& query, std::uint32_t start, std::size_t best, Beam& beam) const;
    // Goes through all nodes and keeps allowed ones, until no node is nearer than the last of a full beam: as good as a
    // walk without a filter. False where it gave up, the allowed ones being few or far.
    bool walk_through(const PreparedQuery& query, std::uint32_t start, const Wanted& wanted, Beam& beam) const;
    // The `most` nodes with an allowed row that are nearest as far as the signs of their components say; ascending. About
    // 10 to 25 ns a row and core. The first one makes the signs of all.
    std::vector<std::uint32_t> skim(const PreparedQuery& query, const RowSet& allowed, std::size_t most) const;
    const RowSigns& signs() const;
    static SeenRows& seen_rows();
    // The neighbours of a node on level 0 that were not seen yet.
    void add_unseen(std::uint32_t node, SeenRows& seen, std::vector<std::uint32_t>& fresh) const;
    // Calls `take(similarity, node)` for each.
    template <typename Take>
    void compare(const PreparedQuery& query, const std::vector<std::uint32_t>& nodes, Take take) const {
        for (std::size_t i = 0; i < std::min(lookahead, nodes.size()); ++i) prefetch(vector(nodes[i]), row_bytes_);
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            if (i + lookahead < nodes.size()) prefetch(vector(nodes[i + lookahead]), row_bytes_);
            take(similarity(query, nodes[i]), nodes[i]);
        }
    }
    template <typename Rows>
    std::vector<Hit> scan(const PreparedQuery& query, const Rows& rows, std::size_t begin, std::size_t end,
                          std::size_t k) const;
    std::vector<std::uint32_t> nodes_of(std::span<const std::int64_t> rows) const;
    std::vector<Hit> best_rows(const PreparedQuery& query, std::vector<Hit>& nodes, std::size_t k,
                               const Wanted& wanted) const;
    const std::uint8_t* vector(std::uint32_t row) const { return matrix_ + row * row_bytes_; }
    float similarity(const PreparedQuery& query, std::uint32_t row) const;
    void prefetch(const std::uint8_t* from, std::size_t bytes) const;

    std::size_t count_ = 0, dim_, row_bytes_ = 0;
    Scalar scalar_;
    const std::uint8_t* matrix_ = nullptr;
    NodeLinks links_;
    NodeRows rows_;
    std::optional<RowCoder> coder_;  // of codes
    mutable ThreadPool pool_;
    mutable std::mutex signs_lock_;
    mutable std::unique_ptr<const RowSigns> signs_;
};

}  // namespace memvid
