// Ranks rows by the words of a question: BM25 with every count taken as one, over several sections of postings.
//
// A row's score is norm[its length] * (sum of the weights of the words in it). Weights are whole numbers and norms come
// from stored constants by sums, products and quotients alone, so that the same index ranks alike on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/postings.hpp"

namespace memvid {

struct ScoredRow {
    std::uint32_t row;
    float score;
};

// Rows as bits, the lowest first; of no rows at all, all are meant.
using RowBits = std::span<const std::uint64_t>;

// A part of an index: its postings, and the length of each of its rows in words, as one byte.
struct WordSegment {
    ByteView postings;
    ByteView lengths;
};

// The terms of a question that are in any row, looked up.
class WordQuestion {
public:
    // In how many rows each is.
    std::vector<std::uint64_t> frequencies() const;

private:
    friend class WordIndex;

    struct Term {
        std::uint64_t count = 0;  // rows that have it
        std::uint32_t weight = 0;
        std::vector<TermPostings> in;  // of each segment; of no rows, where it is not in it
    };

    std::vector<Term> terms_;  // the commonest first
};

// Rows are numbered through all segments. Safe to share between threads.
class WordIndex {
public:
    // What the segments look at must outlive this and stay as it is. Costs a pass over the lengths. Throws
    // Error(format) where sizes do not fit.
    explicit WordIndex(const std::vector<WordSegment>& segments);

    std::uint32_t rows() const { return rows_; }

    // In how many rows a term is.
    std::uint64_t frequency(std::string_view term) const;

    // Throws Error(config) for more than 1,024 terms.
    WordQuestion ask(std::span<const std::string> terms) const;

    // The best `k` rows with any of the terms, best first, ties by row. `allowed` has a bit for each row, or is empty.
    // Of more than 16 terms that are in any row, the 16 in the fewest propose rows, and the others count for those that
    // were proposed; unless that gives fewer than `k`.
    std::vector<ScoredRow> search(const WordQuestion& question, std::size_t k, RowBits allowed) const;

    // The score of each of `rows`, 0 where it has none of the terms. Throws Error(config) for a row there is none of.
    std::vector<float> score(const WordQuestion& question, std::span<const std::int64_t> rows) const;

    std::vector<ScoredRow> search(std::span<const std::string> terms, std::size_t k, RowBits allowed) const {
        return search(ask(terms), k, allowed);
    }
    std::vector<float> score(std::span<const std::string> terms, std::span<const std::int64_t> rows) const {
        return score(ask(terms), rows);
    }

    // The rows with all of the terms, ascending; none where there are no terms.
    std::vector<std::uint32_t> rows_with_all(std::span<const std::string> terms) const;

    // As Postings::check, of all segments.
    void check() const;

private:
    struct Segment {
        Postings postings;
        ByteView lengths;
        std::uint32_t first;                 // its first row
        std::vector<std::uint8_t> shortest;  // the least length in each window
    };
    struct Best;

    // The first `silent` terms propose no rows.
    void search(std::size_t segment, std::span<const WordQuestion::Term> terms, std::size_t silent, RowBits allowed,
                Best& best) const;

    std::vector<Segment> segments_;
    std::uint32_t rows_ = 0;
    std::array<double, 256> norms_{};  // of lengths; a weight of 1 is 1 / 65,536
};

}  // namespace memvid
