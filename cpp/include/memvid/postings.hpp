// Which rows have which word: a mapped section of an index. Layout, little endian, offsets from the section's start:
//
//     u64 magic | u32 rows | u32 divisor | u64 terms | u64 bytes of postings | u64 bytes of dictionary | zeros up to 64
//     postings, of one term after another
//     dictionary, of terms in the order of their bytes:
//         u8 shared with the term before | u8 rest | rest | varint rows with the term | varint bytes of postings
//     blocks, one for each 16 terms, of which the first shares nothing: u64 offset in dictionary | u64 in postings
//     8 bytes of zeros
//
// Postings of a term that is in more than rows / divisor rows are a bitmap: u64 for each 64 rows, the lowest bit first.
// Those of others are blocks of 128 rows, and a tail of what is left:
//
//     u32 last row of each block | u32 where each block and the end begin, in 16 bytes (neither, if there is no block)
//     for each block 128 gaps to the row before, less one, in as few bits as the largest of them needs
//     tail: gaps likewise, each as a varint
//
// Who writes it is PostingsWriter.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "memvid/bytes.hpp"

namespace memvid {

constexpr std::uint64_t postings_magic = 0x3153'4452'4f57'564d;  // "MVWORDS1"
constexpr std::size_t postings_head_bytes = 64;
constexpr std::size_t postings_slack_bytes = 8;  // zeros at the end: words of 8 bytes may be read up to it
constexpr std::size_t posting_block = 128;       // rows
constexpr std::size_t terms_a_block = 16;
constexpr std::size_t longest_term = 200;    // bytes; of longer words there is nothing
constexpr std::uint32_t bitmap_divisor = 8;  // what a writer chooses
constexpr unsigned widest_gap = 32;          // bits
constexpr std::uint32_t most_rows = 0xffff'fff0;

// Where the rows of a term are.
struct TermPostings {
    std::uint32_t count;  // rows that have it, at least 1
    bool is_bitmap;
    ByteView bytes;  // words of 8 bytes may be read beyond it
};

// Safe to share between threads.
class Postings {
public:
    // `section` must outlive this and stay as it is. Reads its head alone. Throws Error(format) where sizes in it
    // cannot be.
    explicit Postings(ByteView section);

    std::uint32_t rows() const { return rows_; }
    std::uint64_t terms() const { return terms_; }

    // Throws Error(format) where it meets an entry that cannot be.
    std::optional<TermPostings> find(std::string_view term) const;

    // Hands each term from `first` up to and without `last` to `take`, in the order of their bytes. Throws as find().
    void each_between(std::string_view first, std::string_view last,
                      const std::function<void(std::string_view, const TermPostings&)>& take) const;

    // Goes through all of it: 2 ns a posting. Throws Error(format) where anything is not as a writer makes it.
    void check() const;

private:
    struct Entry;

    Entry entry_at(std::uint64_t block) const;
    void next(Entry& entry) const;
    std::string_view first_term(std::uint64_t block) const;
    std::uint64_t block_of(std::string_view term) const;
    TermPostings postings_of(const Entry& entry) const;

    std::uint32_t rows_ = 0, divisor_ = 0;
    std::uint64_t terms_ = 0, blocks_count_ = 0;
    ByteView postings_, dictionary_, blocks_;
};

// Goes through the rows of a term, upwards. No step leads out of the term's bytes, or to a row there is none of: where
// the bytes say so, it throws Error(format).
class PostingCursor {
public:
    PostingCursor() = default;
    PostingCursor(const TermPostings& term, std::uint32_t rows);

    bool is_bitmap() const { return is_bitmap_; }

    // The first row that is `row` or above, `rows` if there is none. Rows asked for never descend.
    std::uint32_t seek(std::uint32_t row);
    bool contains(std::uint32_t row) { return is_bitmap_ ? (word(row / 64) >> (row % 64) & 1) != 0 : seek(row) == row; }

    // Of a bitmap: its 64 rows from 64 * `index` on.
    std::uint64_t word(std::uint32_t index) const;

    // Of no bitmap: hands each row from `begin` up to and without `end` to `take`; descends as little as seek().
    template <typename Take>
    void each(std::uint32_t begin, std::uint32_t end, const Take& take) {
        for (std::uint32_t row = seek(begin); row < end; row = seek(row + 1)) {
            for (; place_ < filled_ && buffer_[place_] < end; ++place_) take(buffer_[place_]);
            if (place_ < filled_) return;
            row = buffer_[filled_ - 1];
        }
    }

    // Decodes all of it. Throws Error(format) where anything is not as a writer makes it.
    void check();

private:
    std::uint32_t last_of(std::uint32_t block) const;
    std::uint32_t offset_of(std::uint32_t block) const;
    void fill(std::uint32_t block);
    void fill_tail();

    const std::uint8_t* bytes_ = nullptr;  // of a bitmap the words, else `last`
    const std::uint8_t* packed_ = nullptr;
    const std::uint8_t* end_ = nullptr;
    std::uint32_t rows_ = 0, count_ = 0;
    std::uint32_t blocks_ = 0;  // full ones
    std::uint32_t packed_units_ = 0;
    bool is_bitmap_ = false;
    // What is decoded: block `block_` (`blocks_` is the tail), of which rows in front of `place_` are behind us.
    std::uint32_t block_ = 0;
    std::uint32_t filled_ = 0, place_ = 0;
    std::uint32_t buffer_[posting_block];
};

}  // namespace memvid
