// The words of texts and the rows they are in, in memory, until they are sorted.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memvid/bytes.hpp"

namespace memvid {

class TermCollector {
public:
    TermCollector();

    // Rows ascend. Of a text its words (postings_writer.hpp), or terms as they are given.
    void add(std::uint32_t row, std::string_view text);
    void add(std::uint32_t row, std::span<const std::string_view> terms);

    std::size_t postings() const { return postings_.size(); }
    std::size_t term_bytes() const { return texts_.size(); }

    // A run: each term in the order of its bytes, after its length as a byte; then in how many rows it is, and the gaps
    // to the row before, less one, as varints.
    Bytes sorted_run() const;

    // Leaves nothing.
    void clear();

private:
    struct Term {
        std::size_t text;  // where it is in `texts_`
        std::uint32_t hash, count, last_row;
        std::uint8_t length;
    };
    struct Row {
        std::uint32_t row;
        std::uint32_t end;  // in `postings_`
    };

    void add_term(std::uint32_t row, std::string_view text);
    void grow();
    std::uint32_t hash_of(std::string_view text) const;
    std::string_view text_of(const Term& term) const;

    std::uint64_t key_[2];  // of the hash
    std::string token_;
    Bytes texts_;
    std::vector<Term> terms_;
    std::vector<std::uint32_t> slots_;     // a hash table: the number of a term and 1, or 0
    std::vector<std::uint32_t> postings_;  // numbers of terms, of one row after another
    std::vector<Row> rows_;
};

}  // namespace memvid
