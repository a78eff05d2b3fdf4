// Files by offset. Reads are positioned copies, not a mapping: a file that is cut off by someone else while it is open
// is an error here, where a mapping would end the process with SIGBUS; for frames of a few kB they cost the same.
//
// Only regular files are opened: a pipe, a socket or a device is refused, not waited for.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "memvid/bytes.hpp"

namespace memvid {

// What reading some bytes came to.
struct Reading {
    bool whole = false;
    int error = 0;  // errno where the system refused, as it does for a bad sector; 0 where the file ends first
};

// Read-only; safe to share between threads.
class InputFile {
public:
    explicit InputFile(const std::string& path);
    ~InputFile();
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;

    std::uint64_t size() const { return size_; }
    const std::string& path() const { return path_; }
    // Fills `out` from `offset`.
    Reading try_read_at(std::uint64_t offset, std::span<std::uint8_t> out) const noexcept;
    // The same; false when the file ends first. Throws Error(io) when the system refuses.
    bool read_at(std::uint64_t offset, std::span<std::uint8_t> out) const;

private:
    std::string path_;
    int descriptor_ = -1;
    std::uint64_t size_ = 0;
};

// Buffered append, plus patching of what was written. Never through a symbolic link. Not safe to share. Throws
// Error(output).
class OutputFile {
public:
    // A new file, which only its owner may read; one that is there is emptied, and keeps its mode.
    explicit OutputFile(const std::string& path);
    // A file that is there, to be appended to behind its first `size` bytes. Nothing is changed until it is.
    OutputFile(const std::string& path, std::uint64_t size);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void append(ByteView bytes);
    void overwrite(std::uint64_t offset, ByteView bytes);
    std::uint64_t size() const { return flushed_ + buffer_.size(); }
    // Cuts the file off; what is buffered is forgotten.
    void truncate(std::uint64_t size);
    // Writes what is buffered and waits until the device has it.
    void sync();
    void close();

private:
    void flush();
    void write_at(std::uint64_t offset, ByteView bytes);

    std::string path_;
    int descriptor_ = -1;
    std::uint64_t flushed_ = 0;
    Bytes buffer_;
};

}  // namespace memvid
