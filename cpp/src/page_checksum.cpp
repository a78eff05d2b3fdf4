#include "memvid/page_checksum.hpp"

#include <algorithm>

#include "memvid/png_frame.hpp"

namespace memvid {

bool is_page(ByteView payload) {
    return payload.size() >= page_header_bytes &&
           std::equal(std::begin(page_magic), std::end(page_magic), payload.begin());
}

Verdict verify_payload(ByteView payload, std::optional<std::uint32_t> expected) {
    if (!is_page(payload)) {
        if (!expected) return Verdict::unknown;
        return crc32(payload) == *expected ? Verdict::verified : Verdict::wrong;
    }
    constexpr std::size_t field = page_header_bytes - 4;
    const std::uint32_t stored = load_le32(payload.data() + field);
    if (expected && stored != *expected) return Verdict::wrong;
    const std::uint32_t computed = crc32(payload.subspan(page_header_bytes), crc32(payload.first(field)));
    return computed == stored ? Verdict::verified : Verdict::wrong;
}

}  // namespace memvid
