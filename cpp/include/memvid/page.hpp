// Pages as docs/format.md has them: the header, and the chunks in a body that is no longer compressed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/page_checksum.hpp"

namespace memvid {

// The versions of pages that are read, oldest first; the last is the one that is written. Python takes them from here.
constexpr std::array<std::uint8_t, 2> page_format_versions{1, 2};
constexpr std::size_t run_head_bytes = 8;  // part number and number of parts

enum class PageKind : std::uint8_t {
    header,
    dictionary,
    data,
    continuation,
    tombstones,
    parity,
    attributes,  // the last one of version 1
    commit,
    metadata
};

namespace page_flag {
constexpr std::uint8_t zstd = 1, dictionary = 2, run = 4;
constexpr std::uint8_t may_be_ignored = 0xc0;
}  // namespace page_flag

struct PageHeader {
    PageKind kind;
    std::uint8_t flags;
    std::uint16_t count;
    std::uint32_t tag;
    std::uint32_t page_number;
    std::uint64_t first_chunk;
};

// Nothing when the payload is no page of a format version that is read, of an unknown kind, or with an unknown mandatory flag.
std::optional<PageHeader> parse_page_header(ByteView payload);

// Part and number of parts of a page with the run flag; nothing when the numbers cannot be.
struct RunPart {
    std::uint32_t part, parts;
};
std::optional<RunPart> parse_run_part(const PageHeader& header, ByteView payload);

// The chunks of a page. Immutable, so safe to share between threads.
class RecordPage {
public:
    // Nothing when the lengths do not describe exactly `count` chunks and all of `body`.
    static std::optional<RecordPage> open(Bytes body, std::size_t count);
    // A frame of a bare memory: one text, no metadata.
    static RecordPage bare(Bytes text);

    std::size_t size() const { return starts_.size() / 2; }
    ByteView text(std::size_t slot) const { return part(slot); }
    ByteView metadata(std::size_t slot) const { return part(slot + size()); }
    // Bytes of memory it takes, nearly.
    std::size_t nbytes() const { return sizeof *this + body_.capacity() + 4 * starts_.capacity(); }

private:
    RecordPage(Bytes body, std::vector<std::uint32_t> starts) : body_(std::move(body)), starts_(std::move(starts)) {}
    ByteView part(std::size_t i) const { return ByteView(body_).subspan(starts_[i], starts_[i + 1] - starts_[i]); }

    Bytes body_;
    std::vector<std::uint32_t> starts_;  // of all texts, then of all metadata, then the end
};

}  // namespace memvid
