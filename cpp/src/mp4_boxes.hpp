// What writer and reader of MP4 must agree on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "memvid/file.hpp"

namespace memvid {

constexpr std::size_t append_mark_bytes = 32;

// The whole box, for an append to the movie whose `moov` lies at `movie`.
std::array<std::uint8_t, append_mark_bytes> append_mark(std::uint64_t movie);

// Boxes outside the movie header that are gone through; a file of nothing but empty ones would keep us for minutes.
constexpr int max_file_boxes = 1 << 20;

struct BoxHeader {
    std::uint32_t name = 0;
    std::uint64_t header = 0;  // bytes before the body
    std::uint64_t size = 0;    // header and body
    bool endless = false;      // it goes to the end of the file, wherever that is
};

// Nothing when there is no whole box at `offset`.
std::optional<BoxHeader> read_box_header(const InputFile& file, std::uint64_t offset);

// MPEG-4 registration authority: PNG as the coding of a visual stream.
constexpr std::uint8_t png_object_type = 0x6d;

// The one box that lists them has a size of 32 bits: 16 bytes a frame, with the page table, must fit.
constexpr std::uint64_t max_frames = std::uint64_t{1} << 27;

}  // namespace memvid
