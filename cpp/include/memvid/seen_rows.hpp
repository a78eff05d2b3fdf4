// Which rows a search has seen: a bit each, cleared again by the search that set them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace memvid {

class SeenRows {
public:
    void begin(std::size_t rows) {
        end();  // of a search that an error ended
        if (bits_.size() * 64 < rows) bits_.resize((rows + 63) / 64);
    }
    bool insert(std::uint32_t row) {
        std::uint64_t& word = bits_[row / 64];
        const std::uint64_t bit = std::uint64_t{1} << (row % 64);
        if ((word & bit) != 0) return false;
        rows_.push_back(row);  // first: if that throws, no bit stays behind
        word |= bit;
        return true;
    }
    // Those that were inserted since `begin`, in their order.
    const std::vector<std::uint32_t>& rows() const { return rows_; }
    void end() {
        for (const auto row : rows_) bits_[row / 64] = 0;
        rows_.clear();
    }

private:
    std::vector<std::uint64_t> bits_;
    std::vector<std::uint32_t> rows_;
};

}  // namespace memvid
