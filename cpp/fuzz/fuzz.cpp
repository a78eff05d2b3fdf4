#include "fuzz.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "memvid/page_checksum.hpp"
#include "memvid/png_frame.hpp"

namespace memvid::fuzzing {

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "a property does not hold: %s\n", what);
    std::abort();
}

// With a name of its own: through a link, as those of /proc, the core writes no file.
MemoryFile::MemoryFile() : path_("/dev/shm/memvid-fuzz-XXXXXX") {
    descriptor_ = ::mkstemp(path_.data());
    require(descriptor_ >= 0, "there are files in memory");
}

MemoryFile::~MemoryFile() {
    ::unlink(path_.c_str());
    ::close(descriptor_);
}

void MemoryFile::write(ByteView bytes) {
    require(::ftruncate(descriptor_, 0) == 0, "a file in memory can be cut");
    const auto size = static_cast<ssize_t>(bytes.size());
    require(::pwrite(descriptor_, bytes.data(), bytes.size(), 0) == size, "a file in memory can be written");
}

void seal_page(Bytes& page) {
    if (page.size() < page_header_bytes) page.resize(page_header_bytes);
    std::copy(std::begin(page_magic), std::end(page_magic), page.begin());
    const ByteView view(page);
    const std::uint32_t sum = crc32(view.subspan(page_header_bytes), crc32(view.first(page_header_bytes - 4)));
    for (std::size_t i = 0; i < 4; ++i) page[page_header_bytes - 4 + i] = static_cast<std::uint8_t>(sum >> (8 * i));
}

bool parse_page_table(ByteView bytes, PageTable& table) {
    constexpr std::size_t head = 16, row = 7;
    if (bytes.size() < head) return false;
    table.tag = load_le32(bytes.data() + 8);
    table.frames = load_le32(bytes.data() + 12);
    const std::uint64_t frames = table.frames;
    if (bytes.size() - head < frames * row) return false;
    table.kinds = bytes.subspan(head, frames);
    table.counts = bytes.subspan(head + frames, 2 * frames);
    table.checksums = bytes.subspan(head + 3 * frames, 4 * frames);
    return true;
}

}  // namespace memvid::fuzzing
