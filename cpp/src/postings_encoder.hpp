// Writes a section as postings.hpp has it, of terms in the order of their bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "memvid/bytes.hpp"
#include "memvid/file.hpp"
#include "memvid/postings.hpp"
#include "sorted_runs.hpp"

namespace memvid {

class PostingsEncoder {
public:
    // Appends to `out`. The dictionary waits in memory, or where there is a `scratch`, mostly in that.
    PostingsEncoder(OutputFile& out, std::uint32_t rows, ScratchFile* scratch);

    // A term that is in `count` rows, which are added upwards; then comes end().
    void begin(std::string_view term, std::uint32_t count);
    void add(std::uint32_t row);
    void end();

    void finish();

private:
    void pack();

    OutputFile& out_;
    const std::uint64_t head_at_;
    const std::uint32_t rows_;
    // Of the term that is being written.
    std::string term_;
    std::uint32_t count_ = 0, next_row_ = 0;
    bool is_bitmap_ = false;
    std::size_t filled_ = 0;
    std::uint32_t gaps_[posting_block];
    Bytes bytes_, lasts_, offsets_, packed_;
    // Of all before.
    std::string before_;
    std::uint64_t terms_ = 0, postings_size_ = 0;
    Bytes dictionary_, blocks_;  // of the dictionary what is behind `dictionary_size_`
    std::uint64_t dictionary_size_ = 0;
    ScratchFile* scratch_;
    const std::uint64_t scratch_at_;  // where the dictionary begins in it
};

}  // namespace memvid
