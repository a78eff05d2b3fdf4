#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "memvid/error.hpp"
#include "memvid/mp4.hpp"
#include "mp4_boxes.hpp"

namespace memvid {

namespace {

// Samples of one chunk of the sample table: a second or so of video at the usual rate would make the table larger, and
// the whole file in one makes some players read it all.
constexpr std::uint32_t samples_per_chunk = 256;
constexpr std::size_t wide_header_bytes = 16;

// Opens a box, and closes it with its size when it goes out of scope.
class Box {
public:
    Box(Bytes& out, const char (&name)[5]) : out_(out), start_(out.size()) {
        ByteWriter writer(out);
        writer.u32(0);
        writer.text(name);
    }
    Box(Bytes& out, const char (&name)[5], unsigned version, std::uint32_t flags) : Box(out, name) {
        ByteWriter writer(out);
        writer.u8(version);
        writer.u24(flags);
    }
    ~Box() { store_be32(out_.data() + start_, static_cast<std::uint32_t>(out_.size() - start_)); }
    Box(const Box&) = delete;
    Box& operator=(const Box&) = delete;

private:
    Bytes& out_;
    std::size_t start_;
};

void write_matrix(ByteWriter& out) {
    static constexpr std::uint32_t unity[9] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
    for (const auto value : unity) out.u32(value);
}

// An MPEG-4 descriptor's tag and length (14496-1, 8.3.3), the length in one byte.
void write_descriptor(ByteWriter& out, unsigned tag, unsigned length) {
    out.u8(tag);
    out.u8(length);
}

// An `mdat` box's, with room for 64 bits of size.
std::array<std::uint8_t, wide_header_bytes> wide_header(std::uint32_t size, std::uint64_t wide_size) {
    std::array<std::uint8_t, wide_header_bytes> header{};
    store_be32(header.data(), size);
    std::memcpy(header.data() + 4, "mdat", 4);
    store_be64(header.data() + 8, wide_size);
    return header;
}

int whole_rate(const Movie& movie) {
    return std::clamp(static_cast<int>(std::lround(movie.frames_per_second)), 1, 1000);
}

}  // namespace

std::array<std::uint8_t, append_mark_bytes> append_mark(std::uint64_t movie) {
    std::array<std::uint8_t, append_mark_bytes> bytes;
    store_be32(bytes.data(), append_mark_bytes);
    store_be32(bytes.data() + 4, fourcc("uuid"));
    std::memcpy(bytes.data() + 8, append_uuid, sizeof append_uuid);
    store_be64(bytes.data() + 8 + sizeof append_uuid, movie);
    return bytes;
}

Mp4Writer::Mp4Writer(OutputFile& file, int width, int height, int frames_per_second)
    : file_(file), width_(width), height_(height), frames_per_second_(frames_per_second) {
    Bytes head;
    ByteWriter out(head);
    {
        const Box box(head, "ftyp");
        out.text("isom");
        out.u32(0x200);
        out.text("isomiso2mp41");
    }
    file_.append(head);
    begin_data(1);
}

Mp4Writer::Mp4Writer(OutputFile& file, const Movie& like)
    : Mp4Writer(file, like.width, like.height, whole_rate(like)) {
    first_frames_ = like.first_frames;
}

Mp4Writer::Mp4Writer(OutputFile& file, const Movie& movie, std::uint64_t movie_offset)
    : file_(file),
      width_(movie.width),
      height_(movie.height),
      frames_per_second_(whole_rate(movie)),
      first_frames_(movie.first_frames),
      samples_(movie.samples) {
    const std::uint64_t end = file_.size();
    file_.truncate(end);  // without what an append left that never counted
    try {
        file_.append(append_mark(movie_offset));
        file_.sync();  // from here on, whatever a power cut leaves behind it is known not to count
        begin_data(0);
    } catch (const Error&) {
        file_.truncate(end);
        throw;
    }
}

// `size` is 0 (to the end of the file) or 1 (in the 64 bits that follow); finish() puts in the true one.
void Mp4Writer::begin_data(std::uint32_t size) {
    file_.append(wide_header(size, size == 0 ? 0 : wide_header_bytes));
    data_start_ = file_.size();
}

void Mp4Writer::append(ByteView sample) {
    if (samples_.size() >= max_frames)
        throw Error(ErrorCode::output, "a video cannot have more than " + std::to_string(max_frames) + " frames");
    const std::uint64_t offset = file_.size();
    file_.append(sample);
    samples_.push_back({offset, static_cast<std::uint32_t>(sample.size())});
}

std::uint64_t Mp4Writer::finish(ByteView page_table) {
    const std::uint64_t data_end = file_.size();
    const Bytes movie = movie_box(page_table);
    if (movie.size() > std::numeric_limits<std::uint32_t>::max())  // its own size has 32 bits
        throw Error(ErrorCode::output, "a movie header of " + std::to_string(movie.size()) + " bytes is too large");
    file_.append(movie);
    file_.overwrite(data_start_ - wide_header_bytes, wide_header(1, data_end - data_start_ + wide_header_bytes));
    return data_end;
}

void copy_movie(const std::string& from, std::optional<std::uint64_t> movie_offset, const std::string& to,
                const Poll& poll) {
    const InputFile file(from);
    const Movie movie = movie_offset ? read_movie(file, *movie_offset) : read_movie(file);
    if (movie.codec != "png" || movie.tracks != 1)
        throw Error(ErrorCode::unsupported, from + " is not a video in memvid's own format: its frames stay where they are");
    OutputFile out(to);
    Mp4Writer writer(out, movie);
    Bytes frame;
    for (std::size_t i = 0; i < movie.samples.size(); ++i) {
        if (i % samples_per_chunk == 0 && poll) poll();
        frame.resize(movie.samples[i].size);
        if (!file.read_at(movie.samples[i].offset, frame))
            throw Error(ErrorCode::format, from + " is cut off: frame " + std::to_string(i) + " lies behind its end");
        writer.append(frame);
    }
    writer.finish(movie.page_table ? ByteView(*movie.page_table) : ByteView{});
    out.sync();
    out.close();
}

// Chunks of samples that lie back to back: where each begins, and how many it has, told once for equal neighbours.
void Mp4Writer::write_chunks(ByteWriter& out, Bytes& bytes) const {
    std::vector<std::uint64_t> offsets;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> runs;  // the first chunk, from 1; samples in each
    std::uint64_t end = 0;
    std::uint32_t count = 0;
    const auto close = [&] {
        if (count > 0 && (runs.empty() || runs.back().second != count))
            runs.emplace_back(static_cast<std::uint32_t>(offsets.size()), count);
    };
    for (const auto& sample : samples_) {
        if (offsets.empty() || count == samples_per_chunk || sample.offset != end) {
            close();
            offsets.push_back(sample.offset);
            count = 0;
        }
        ++count;
        end = sample.offset + sample.size;
    }
    close();
    {
        const Box stsc(bytes, "stsc", 0, 0);
        out.u32(static_cast<std::uint32_t>(runs.size()));
        for (const auto& [first, samples] : runs) {
            out.u32(first);
            out.u32(samples);
            out.u32(1);
        }
    }
    {
        const Box stsz(bytes, "stsz", 0, 0);
        out.u32(0);
        out.u32(static_cast<std::uint32_t>(samples_.size()));
        for (const auto& sample : samples_) out.u32(sample.size);
    }
    const Box co64(bytes, "co64", 0, 0);
    out.u32(static_cast<std::uint32_t>(offsets.size()));
    for (const auto offset : offsets) out.u64(offset);
}

// How long samples are shown: one tick each, but for the first.
void Mp4Writer::write_durations(ByteWriter& out, Bytes& bytes) const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> runs;  // samples, ticks
    auto count = static_cast<std::uint32_t>(samples_.size());
    if (count > 0 && first_frames_ != 1) {
        runs.emplace_back(1, first_frames_);
        --count;
    }
    if (count > 0) runs.emplace_back(count, 1);
    const Box stts(bytes, "stts", 0, 0);
    out.u32(static_cast<std::uint32_t>(runs.size()));
    for (const auto& [samples, ticks] : runs) {
        out.u32(samples);
        out.u32(ticks);
    }
}

void Mp4Writer::write_sample_table(ByteWriter& out, Bytes& bytes) const {
    const auto count = static_cast<std::uint32_t>(samples_.size());
    std::uint32_t largest = 0;
    std::uint64_t total = 0;
    for (const auto& sample : samples_) {
        largest = std::max(largest, sample.size);
        total += sample.size;
    }
    const std::uint64_t bit_rate = count == 0 ? 0 : total * 8 * static_cast<unsigned>(frames_per_second_) / duration();
    const auto peak = static_cast<std::uint64_t>(largest) * 8 * static_cast<unsigned>(frames_per_second_);
    const auto clamp = [](std::uint64_t value) {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
    };

    const Box stbl(bytes, "stbl");
    {
        const Box stsd(bytes, "stsd", 0, 0);
        out.u32(1);
        const Box entry(bytes, "mp4v");
        out.zeros(6);
        out.u16(1);  // data reference
        out.zeros(16);
        out.u16(static_cast<unsigned>(width_));
        out.u16(static_cast<unsigned>(height_));
        out.u32(0x480000);  // 72 pixels an inch, both ways
        out.u32(0x480000);
        out.u32(0);
        out.u16(1);  // frames a sample
        out.zeros(32);
        out.u16(1);       // bit a pixel: of 24, FFmpeg makes a palette of 64 MiB where it copies to MKV or AVI
        out.u16(0xffff);  // no colour table
        const Box esds(bytes, "esds", 0, 0);
        write_descriptor(out, 3, 3 + 2 + 13 + 2 + 1);  // elementary stream
        out.u16(1);
        out.u8(0);
        write_descriptor(out, 4, 13);  // decoder configuration
        out.u8(png_object_type);
        out.u8(0x11);  // visual stream
        out.u24(std::min<std::uint32_t>(largest, 0xffffff));
        out.u32(clamp(peak));
        out.u32(clamp(bit_rate));
        write_descriptor(out, 6, 1);  // synchronisation layer: the one of MP4 files
        out.u8(2);
    }
    write_durations(out, bytes);
    write_chunks(out, bytes);
}

Bytes Mp4Writer::movie_box(ByteView page_table) const {
    Bytes bytes;
    bytes.reserve(samples_.size() * 4 + page_table.size() + 1024);
    ByteWriter out(bytes);
    const std::uint64_t duration = this->duration();
    {
        const Box moov(bytes, "moov");
        {
            const Box mvhd(bytes, "mvhd", 1, 0);
            out.zeros(16);  // no clock: the same input makes the same bytes
            out.u32(static_cast<std::uint32_t>(frames_per_second_));
            out.u64(duration);
            out.u32(0x10000);  // rate
            out.u16(0x100);    // volume
            out.zeros(10);
            write_matrix(out);
            out.zeros(24);
            out.u32(2);  // next track
        }
        {
            const Box trak(bytes, "trak");
            {
                const Box tkhd(bytes, "tkhd", 1, 3);  // enabled, in the movie
                out.zeros(16);
                out.u32(1);  // track
                out.u32(0);
                out.u64(duration);
                out.zeros(16);
                write_matrix(out);
                out.u32(static_cast<std::uint32_t>(width_) << 16);
                out.u32(static_cast<std::uint32_t>(height_) << 16);
            }
            const Box mdia(bytes, "mdia");
            {
                const Box mdhd(bytes, "mdhd", 1, 0);
                out.zeros(16);
                out.u32(static_cast<std::uint32_t>(frames_per_second_));
                out.u64(duration);
                out.u16(0x55c4);  // language: undetermined
                out.u16(0);
            }
            {
                const Box hdlr(bytes, "hdlr", 0, 0);
                out.u32(0);
                out.text("vide");
                out.zeros(12);
                out.text("memvid pages");
                out.u8(0);
            }
            const Box minf(bytes, "minf");
            {
                const Box vmhd(bytes, "vmhd", 0, 1);
                out.zeros(8);
            }
            {
                const Box dinf(bytes, "dinf");
                const Box dref(bytes, "dref", 0, 0);
                out.u32(1);
                const Box url(bytes, "url ", 0, 1);  // the data is in this file
            }
            write_sample_table(out, bytes);
        }
        {
            const Box uuid(bytes, "uuid");
            out.raw(page_table_uuid);
            out.raw(page_table);
        }
    }
    return bytes;
}

}  // namespace memvid
