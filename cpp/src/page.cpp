#include "memvid/page.hpp"

#include <limits>

namespace memvid {

namespace {

std::uint64_t load_le64(const std::uint8_t* p) {
    return static_cast<std::uint64_t>(load_le32(p + 4)) << 32 | load_le32(p);
}

// One varint in its shortest form and of at most 32 bits; `at` moves behind it.
std::optional<std::uint32_t> read_varint(ByteView bytes, std::size_t& at) {
    std::uint64_t value = 0;
    for (int shift = 0; shift <= 28; shift += 7) {
        if (at == bytes.size()) return std::nullopt;
        const std::uint8_t byte = bytes[at++];
        value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte >= 0x80) continue;
        if ((byte == 0 && shift > 0) || value > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
        return static_cast<std::uint32_t>(value);
    }
    return std::nullopt;
}

// Versions 1 and 2, which have the same fields; the second knows more kinds of pages.
std::optional<PageHeader> parse_fields(const std::uint8_t* p, PageKind last) {
    constexpr std::uint8_t known = page_flag::zstd | page_flag::dictionary | page_flag::run | page_flag::may_be_ignored;
    if (p[4] > static_cast<std::uint8_t>(last) || (p[5] & ~known) != 0) return std::nullopt;
    return PageHeader{static_cast<PageKind>(p[4]),
                      p[5],
                      static_cast<std::uint16_t>(p[6] | p[7] << 8),
                      load_le32(p + 8),
                      load_le32(p + 12),
                      load_le64(p + 16)};
}

}  // namespace

std::optional<PageHeader> parse_page_header(ByteView payload) {
    if (!is_page(payload)) return std::nullopt;
    switch (payload[3]) {  // a case for each of page_format_versions
        case 1:
            return parse_fields(payload.data(), PageKind::attributes);
        case 2:
            return parse_fields(payload.data(), PageKind::metadata);
        default:
            return std::nullopt;
    }
}

std::optional<RunPart> parse_run_part(const PageHeader& header, ByteView payload) {
    if (payload.size() <= page_header_bytes + run_head_bytes) return std::nullopt;
    const std::uint8_t* p = payload.data() + page_header_bytes;
    const RunPart run{load_le32(p), load_le32(p + 4)};
    const bool continues = header.kind == PageKind::continuation;
    if (run.part >= run.parts || run.parts < 2 || (run.part == 0) == continues) return std::nullopt;
    return run;
}

std::optional<RecordPage> RecordPage::open(Bytes body, std::size_t count) {
    std::vector<std::uint32_t> starts(2 * count + 1);
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto text = read_varint(body, at);
        const auto metadata = text ? read_varint(body, at) : std::nullopt;
        if (!metadata) return std::nullopt;
        starts[i] = *text;
        starts[count + i] = *metadata;
    }
    std::uint64_t start = at;
    for (auto& entry : starts) {
        if (start > body.size()) return std::nullopt;
        const std::uint32_t length = entry;
        entry = static_cast<std::uint32_t>(start);
        start += length;
    }
    if (starts.back() != body.size()) return std::nullopt;
    return RecordPage(std::move(body), std::move(starts));
}

RecordPage RecordPage::bare(Bytes text) {
    const auto end = static_cast<std::uint32_t>(text.size());
    return RecordPage(std::move(text), {0, end, end});
}

}  // namespace memvid
