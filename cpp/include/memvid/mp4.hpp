// MP4 (ISO/IEC 14496-12): writing a video whose every frame is a sync sample, and finding any frame in a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/file.hpp"

namespace memvid {

// One frame's place in the file.
struct Sample {
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
};

// What the `moov` box says of the one video track.
struct Movie {
    std::string codec;  // "png", or the sample entry's four characters, '?' for what is not printable
    int width = 0;
    int height = 0;
    double frames_per_second = 0;
    std::vector<Sample> samples;
    std::optional<Bytes> page_table;  // our own box; gone when someone else re-muxed the file
};

// Throws Error(format) when the file is not an MP4 with a video track, or is cut off.
Movie read_movie(const InputFile& file);

// Writes `ftyp`, one `mdat`, `moov`. Not safe to share.
class Mp4Writer {
public:
    Mp4Writer(OutputFile& file, int width, int height, int frames_per_second);

    // Throws Error(output) when there are too many, or the system refuses.
    void append(ByteView sample);
    std::size_t frames() const { return sizes_.size(); }
    // Writes the `moov` box with the page table in it; nothing may be appended afterwards.
    void finish(ByteView page_table);

private:
    Bytes movie_box(ByteView page_table) const;
    void write_sample_table(ByteWriter& out, Bytes& bytes) const;

    OutputFile& file_;
    int width_;
    int height_;
    int frames_per_second_;
    std::uint64_t data_start_ = 0;
    std::vector<std::uint32_t> sizes_;
};

}  // namespace memvid
