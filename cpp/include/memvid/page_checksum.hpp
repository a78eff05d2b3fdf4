// The one thing the core knows of a page: where its checksum is (docs/format.md).
#pragma once

#include <cstdint>
#include <optional>

#include "memvid/bytes.hpp"

namespace memvid {

constexpr std::uint8_t page_magic[3] = {0x89, 'M', 'V'};
constexpr std::size_t page_header_bytes = 28;

// Whether the payload is a page; a bare text never is: no UTF-8 starts with the first byte of the magic.
bool is_page(ByteView payload);

enum class Verdict : std::uint8_t {
    verified,  // its checksum holds, and is the expected one where one is known
    wrong,     // it does not
    unknown,   // not a page, and nothing is known to compare with
};

// `expected`: the frame's checksum in the video's page table, if there is one.
Verdict verify_payload(ByteView payload, std::optional<std::uint32_t> expected);

}  // namespace memvid
