// Runs of terms (term_collector.hpp), in memory or in a temporary file, and one walk through all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memvid/bytes.hpp"

namespace memvid {

// A temporary file of the caller's, which is written at its end. Throws Error(output).
class ScratchFile {
public:
    explicit ScratchFile(int descriptor);
    ~ScratchFile();
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;

    std::uint64_t size() const { return size_; }
    void append(ByteView bytes);
    void read(std::uint64_t at, std::span<std::uint8_t> out) const;

private:
    int descriptor_;
    std::uint64_t size_ = 0;
};

// Goes through a run, a term with its rows after another.
class RunReader {
public:
    explicit RunReader(Bytes run);
    RunReader(const ScratchFile& file, std::uint64_t at, std::uint64_t bytes);
    RunReader(const RunReader&) = delete;
    RunReader& operator=(const RunReader&) = delete;

    // False behind the last term.
    bool next_term();
    const std::string& term() const { return term_; }
    std::uint32_t count() const { return count_; }  // rows of the term
    // All of them are to be asked for before the next term is.
    std::uint32_t next_row() {
        row_ += varint();
        return row_++;
    }

private:
    std::uint8_t byte() {
        if (at_ == buffer_.size()) refill();
        return buffer_[at_++];
    }
    std::uint32_t varint();
    void refill();

    Bytes buffer_;
    std::size_t at_ = 0;
    const ScratchFile* file_ = nullptr;
    std::uint64_t next_ = 0, left_ = 0;  // in the file
    std::string term_;
    std::uint32_t count_ = 0, row_ = 0;
};

// Several runs as one. Those that were added first have the lower rows.
class MergedRuns {
public:
    void add(std::unique_ptr<RunReader> run);

    // False behind the last term.
    bool next_term();
    const std::string& term() const { return term_; }
    std::uint32_t count() const { return count_; }

    template <typename Take>
    void each_row(const Take& take) {
        for (const auto run : having_)
            for (std::uint32_t i = 0; i < runs_[run]->count(); ++i) take(runs_[run]->next_row());
    }

private:
    void advance(std::size_t run);
    bool is_behind(std::size_t a, std::size_t b) const;

    std::vector<std::unique_ptr<RunReader>> runs_;
    std::vector<std::size_t> heap_;    // runs, with the least term in front
    std::vector<std::size_t> having_;  // runs that have the term, in their order
    std::string term_;
    std::uint32_t count_ = 0;
};

}  // namespace memvid
