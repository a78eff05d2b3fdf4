// Makes a section of postings (postings.hpp) of texts. Memory is bounded: what does not fit goes to a temporary file in
// sorted runs, which are merged at the end. The section's bytes do not depend on when that was done.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "memvid/file.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

// One thread at a time.
class PostingsWriter {
public:
    // Above so many postings or bytes of distinct terms it is full. While they are sorted, a posting takes 10 bytes of
    // memory.
    explicit PostingsWriter(std::size_t most_postings = std::size_t{6} << 20,
                            std::size_t most_term_bytes = std::size_t{16} << 20);
    ~PostingsWriter();
    PostingsWriter(const PostingsWriter&) = delete;
    PostingsWriter& operator=(const PostingsWriter&) = delete;

    // The next row, with the words of a text that is normalised: the longest runs of ASCII letters and digits and of
    // bytes beyond ASCII, with A to Z as a to z, which is what FTS5's tokenizer `ascii` makes of it. Words of more than
    // `longest_term` bytes are left out. Throws Error(limit) where there are too many rows.
    void add(std::string_view text);

    // The same of terms of any bytes, in any order.
    void add_terms(std::span<const std::string_view> terms);

    std::uint32_t rows() const { return rows_; }

    // Whether it should spill before more is added.
    bool is_full() const;

    // Writes what is in memory to the end of an empty file that is open for reading, too; each time the same one.
    // Throws Error(output).
    void spill(int descriptor);

    // Appends the section to a file; then nothing can be added any more. Throws Error(output).
    void finish(OutputFile& out, const Poll& poll);

private:
    struct State;

    std::uint32_t next_row();

    const std::size_t most_postings_, most_term_bytes_;
    std::uint32_t rows_ = 0;
    std::unique_ptr<State> state_;
};

// Makes a section of terms that come in the order of their bytes, each with all its rows; the dictionary is in memory.
class SortedPostingsWriter {
public:
    // Appends to `out`, which must outlive it.
    SortedPostingsWriter(OutputFile& out, std::uint32_t rows);
    ~SortedPostingsWriter();
    SortedPostingsWriter(const SortedPostingsWriter&) = delete;
    SortedPostingsWriter& operator=(const SortedPostingsWriter&) = delete;

    // Throws Error(config) for a term that is not behind the one before, or rows that do not ascend.
    void add(std::string_view term, std::span<const std::int64_t> rows);

    // Then nothing can be added any more. Throws Error(output).
    void finish();

private:
    struct State;

    const std::uint32_t rows_;
    std::unique_ptr<State> state_;
};

}  // namespace memvid
