// What the fuzz targets share: input taken apart from the front, files in memory, and properties that must hold.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "memvid/bytes.hpp"

namespace memvid::fuzzing {

// Ends the process, so that the fuzzer keeps the input, where `holds` is false.
void require(bool holds, const char* what);

// The input, taken from the front; zeros behind its end.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    std::uint8_t u8() {
        if (rest_.empty()) return 0;
        const std::uint8_t value = rest_[0];
        rest_ = rest_.subspan(1);
        return value;
    }
    std::uint16_t u16() {
        const std::uint16_t low = u8();
        return static_cast<std::uint16_t>(low | u8() << 8);
    }
    std::uint32_t u32() {
        const std::uint32_t low = u16();
        return low | static_cast<std::uint32_t>(u16()) << 16;
    }
    // At most `count` bytes.
    ByteView bytes(std::size_t count) {
        const ByteView taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    ByteView rest() { return bytes(rest_.size()); }
    // The same as an input of its own: what changes in it moves nothing behind it.
    Input part(std::size_t count) {
        const ByteView taken = bytes(count);
        return {taken.data(), taken.size()};
    }
    bool empty() const { return rest_.empty(); }

private:
    ByteView rest_;
};

// True for one input in `n`: what takes a thousand times as long as the rest is not tried each time.
inline bool one_in(std::uint32_t n, const std::uint8_t* data, std::size_t size) {
    std::uint32_t hash = 2166136261U;
    for (std::size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 16777619U;
    return (hash >> 8) % n == 0;
}

inline Bytes copy_of(ByteView view) { return {view.begin(), view.end()}; }

// Little endian.
template <typename T>
void put(Bytes& out, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

// A file that is only in memory, with a path to open it by; written anew for each input.
class MemoryFile {
public:
    MemoryFile();
    ~MemoryFile();
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    void write(ByteView bytes);
    const std::string& path() const { return path_; }

private:
    std::string path_;
    int descriptor_;
};

// Puts the right checksum into a page, as a forger would.
void seal_page(Bytes& page);

// A page table as docs/format.md has it, without gaps: what a reader in Python makes of it. Nothing is checked but the
// size.
struct PageTable {
    std::uint32_t tag = 0;
    std::uint32_t frames = 0;
    ByteView kinds, counts, checksums;
};
bool parse_page_table(ByteView bytes, PageTable& table);

}  // namespace memvid::fuzzing
