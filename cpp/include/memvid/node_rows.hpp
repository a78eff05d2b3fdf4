// Which rows of an index each node of its graph stands for: itself alone, or all rows that have its vector.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memvid/bytes.hpp"

namespace memvid {

// Rows as bits of 64-bit words, the lowest first. `first` is where the index's own begin.
struct RowSet {
    std::span<const std::uint64_t> words;
    std::size_t first = 0;

    bool has(std::uint32_t row) const {
        const std::size_t bit = first + row;
        return (words[bit / 64] >> (bit % 64) & 1) != 0;
    }

    // Calls `take(row)` for those that are in it of `rows`, ascending.
    template <typename Take>
    void each(std::size_t rows, Take take) const {
        const std::size_t end = first + rows;
        for (std::size_t i = first / 64; i * 64 < end; ++i) {
            std::uint64_t bits = words[i];
            if (i * 64 < first) bits &= ~std::uint64_t{0} << (first - i * 64);
            if (end - i * 64 < 64) bits &= (std::uint64_t{1} << (end - i * 64)) - 1;
            for (; bits != 0; bits &= bits - 1)
                take(static_cast<std::uint32_t>(i * 64 + static_cast<std::size_t>(std::countr_zero(bits)) - first));
        }
    }
};

// Nodes are in the order of their first rows. Nothing is kept where each row has a node of its own; else 4 bytes a row
// and 8 a node.
class NodeRows {
public:
    static constexpr std::size_t head_bytes = 16;  // of the section that lists copies: magic, u64 how many

    NodeRows() = default;
    // `section` is what is behind the graph of a file: nothing, or the copies, u32 rows ascending and then u32 nodes.
    // Throws Error(format) where it is no list of the rows that are no nodes.
    NodeRows(ByteView section, std::size_t nodes, std::size_t rows);

    std::size_t rows() const { return rows_; }
    bool has_copies() const { return !nodes_.empty(); }

    std::uint32_t node(std::uint32_t row) const { return has_copies() ? nodes_[row] : row; }
    std::uint32_t first_row(std::uint32_t node) const { return has_copies() ? first_rows_[node] : node; }
    // Those after the first, ascending.
    std::span<const std::uint32_t> copies(std::uint32_t node) const {
        if (!has_copies()) return {};
        return std::span(copies_).subspan(copies_before_[node], copies_before_[node + 1] - copies_before_[node]);
    }

    // Calls `take(row)` for the rows of a node that are in `allowed`, ascending, as long as it returns true.
    template <typename Take>
    void each(std::uint32_t node, const RowSet* allowed, Take take) const {
        const std::uint32_t first = first_row(node);
        if ((allowed == nullptr || allowed->has(first)) && !take(first)) return;
        for (const auto row : copies(node))
            if ((allowed == nullptr || allowed->has(row)) && !take(row)) return;
    }

    bool any(std::uint32_t node, const RowSet& allowed) const {
        bool found = false;
        each(node, &allowed, [&](std::uint32_t) { return !(found = true); });
        return found;
    }

private:
    std::size_t rows_ = 0;
    std::vector<std::uint32_t> nodes_;          // of each row
    std::vector<std::uint32_t> first_rows_;     // of each node
    std::vector<std::uint32_t> copies_before_;  // of each node and the end
    std::vector<std::uint32_t> copies_;         // node by node
};

}  // namespace memvid
