// Payloads, files and videos to test with. Nothing here is random: a seed makes the same bytes everywhere.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/frame_writer.hpp"
#include "memvid/page_checksum.hpp"
#include "memvid/png_frame.hpp"
#include "memvid/postings_writer.hpp"

namespace memvid::testing {

// A small generator (splitmix64), the same on every platform.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t value = state_ += 0x9e3779b97f4a7c15;
        value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
        value = (value ^ value >> 27) * 0x94d049bb133111eb;
        return value ^ value >> 31;
    }
    std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
    Bytes bytes(std::size_t count) {
        Bytes out(count);
        for (auto& byte : out) byte = static_cast<std::uint8_t>(next());
        return out;
    }

private:
    std::uint64_t state_;
};

inline Bytes to_bytes(const std::string& text) { return {text.begin(), text.end()}; }

// A sound page of `size` bytes in all: the header's fields are noise but for its magic and checksum.
inline Bytes make_page(std::size_t size, std::uint64_t seed) {
    Bytes page = Random(seed).bytes(size);
    std::copy(std::begin(page_magic), std::end(page_magic), page.begin());
    const ByteView view(page);
    const std::uint32_t sum = crc32(view.subspan(page_header_bytes), crc32(view.first(page_header_bytes - 4)));
    for (std::size_t i = 0; i < 4; ++i) page[page_header_bytes - 4 + i] = static_cast<std::uint8_t>(sum >> (8 * i));
    return page;
}

inline std::uint32_t page_sum(ByteView page) { return load_le32(page.data() + page_header_bytes - 4); }

// A folder that goes when the test ends.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "memvid-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

inline Bytes load(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void save(const std::string& path, ByteView bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// The section that a writer makes of its rows.
inline Bytes finished(PostingsWriter& writer) {
    const TemporaryFolder folder;
    OutputFile out(folder.file("section"));
    writer.finish(out, {});
    out.sync();
    out.close();
    return load(folder.file("section"));
}

inline WriterOptions options(int version, ErrorCorrection level = ErrorCorrection::L) {
    WriterOptions result;
    result.symbol = {version, level, 0};
    result.threads = 2;
    return result;
}

inline void write_video(const std::string& path, const std::vector<Bytes>& payloads, const WriterOptions& options,
                        ByteView page_table) {
    FrameWriter writer(path, options);
    const std::vector<ByteView> views(payloads.begin(), payloads.end());
    writer.write(views, {});
    writer.finish(page_table);
}

}  // namespace memvid::testing
