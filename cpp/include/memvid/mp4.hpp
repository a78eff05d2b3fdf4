// MP4 (ISO/IEC 14496-12): writing a video whose every frame is a sync sample, and finding any frame in a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/file.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

// The extended type of the box that carries the page table, inside `moov`. Python takes both of these from here.
constexpr std::uint8_t page_table_uuid[16] = {0x6d, 0x65, 0x6d, 0x76, 0x69, 0x64, 0x2d, 0x70,
                                              0x61, 0x67, 0x65, 0x2d, 0x74, 0x61, 0x62, 0x31};
// The extended type of the box in front of an append. Its content is the place of the `moov` that counts until then.
constexpr std::uint8_t append_uuid[16] = {0x6d, 0x65, 0x6d, 0x76, 0x69, 0x64, 0x2d, 0x61,
                                          0x70, 0x70, 0x65, 0x6e, 0x64, 0x2d, 0x30, 0x31};

// The extended types of the boxes of an index inside its video: its data, beside `mdat`, and its manifest, inside `moov`
// and once more in front of it. The core skips both; Python writes and reads them.
constexpr std::uint8_t index_uuid[16] = {0x6d, 0x65, 0x6d, 0x76, 0x69, 0x64, 0x2d, 0x69,
                                         0x6e, 0x64, 0x65, 0x78, 0x2d, 0x64, 0x30, 0x31};
constexpr std::uint8_t manifest_uuid[16] = {0x6d, 0x65, 0x6d, 0x76, 0x69, 0x64, 0x2d, 0x6d,
                                            0x61, 0x6e, 0x69, 0x66, 0x65, 0x73, 0x74, 0x31};

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
    std::uint32_t first_frames = 1;  // as long as so many others the first frame is shown
    int tracks = 0;  // of all kinds
    std::vector<Sample> samples;
    std::optional<Bytes> page_table;  // our own box; gone when someone else re-muxed the file
};

// Throws Error(format) when the file is not an MP4 with a video track, or is cut off.
Movie read_movie(const InputFile& file);
// The same by the `moov` box at an offset: that of an append which does not count yet.
Movie read_movie(const InputFile& file, std::uint64_t movie_offset);

// Where a file goes on. docs/format.md, "Appending", says what is behind the boxes that count.
struct AppendPoint {
    std::uint64_t movie = 0;   // the `moov` that counts
    std::uint64_t end = 0;     // of what counts
    bool uncommitted = false;  // something that was appended and never committed is behind it
};

// Throws Error(unsupported) when the file is sound but cannot be appended to, and Error(format) when it is not. Costs a
// read for each box.
AppendPoint find_append_point(const InputFile& file);

// Makes the append count whose mark is at `mark`, once it is complete and on the disk: the `moov` before it becomes
// `free`. Doing it again is harmless. Throws Error(format) when there is no complete append, Error(output).
void commit_append(const std::string& path, std::uint64_t mark);

// Writes the frames of a movie, as they are, into a new file: back to back, with the page table, and nothing else that is
// in the old one. `movie_offset` is that of a `moov` which does not count yet. On return the new file is on the disk.
// Throws Error(format) when there is no such movie, Error(unsupported) when it is not one of ours, Error(io),
// Error(output).
void copy_movie(const std::string& from, std::optional<std::uint64_t> movie_offset, const std::string& to,
                const Poll& poll);

// Writes a new file (`ftyp`, one `mdat`, `moov`), or an append (a mark, `mdat`, `moov`). Not safe to share.
class Mp4Writer {
public:
    Mp4Writer(OutputFile& file, int width, int height, int frames_per_second);
    // A new file for the frames of another one: shown as they are there.
    Mp4Writer(OutputFile& file, const Movie& like);
    // Behind the movie that `file` has, from `file.size()` on; what is there is cut off. The mark is on the device
    // before this returns; if that fails, it is taken away again.
    Mp4Writer(OutputFile& file, const Movie& movie, std::uint64_t movie_offset);

    // Throws Error(output) when there are too many, or the system refuses.
    void append(ByteView sample);
    // Has the first frame shown for a second.
    void hold_first() { first_frames_ = static_cast<std::uint32_t>(frames_per_second_); }
    // Frames there are, with those that were there before.
    std::size_t frames() const { return samples_.size(); }
    // Writes the `moov` box with the page table in it, and returns where; nothing may be appended afterwards.
    std::uint64_t finish(ByteView page_table);

private:
    Bytes movie_box(ByteView page_table) const;
    std::uint64_t duration() const { return samples_.empty() ? 0 : samples_.size() + first_frames_ - 1; }
    void write_sample_table(ByteWriter& out, Bytes& bytes) const;
    void write_durations(ByteWriter& out, Bytes& bytes) const;
    void write_chunks(ByteWriter& out, Bytes& bytes) const;
    void begin_data(std::uint32_t size);

    OutputFile& file_;
    int width_;
    int height_;
    int frames_per_second_;
    std::uint64_t data_start_ = 0;
    std::uint32_t first_frames_ = 1;
    std::vector<Sample> samples_;
};

}  // namespace memvid
