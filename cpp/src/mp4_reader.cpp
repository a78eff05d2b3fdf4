#include <algorithm>
#include <cstring>

#include "memvid/error.hpp"
#include "memvid/mp4.hpp"
#include "mp4_boxes.hpp"

namespace memvid {

namespace {

constexpr std::uint64_t max_movie_bytes = std::uint64_t{4} << 30;
// No picture is smaller; the table of frames then takes no more memory than twice the file.
constexpr std::uint64_t min_frame_bytes = 8;
constexpr std::uint32_t longest_first = 1 << 16;  // frames that the first one is shown for, whatever a file says

[[noreturn]] void fail(const std::string& path, const std::string& what) {
    throw Error(ErrorCode::format, path + " " + what);
}

// A box in memory: bounds-checked reads that throw when it is too short.
class BoxView {
public:
    BoxView(ByteView body, const std::string& path) : body_(body), path_(&path) {}

    ByteView bytes(std::size_t offset, std::size_t count) const {
        if (offset > body_.size() || count > body_.size() - offset)
            fail(*path_, "has a damaged box in its movie header");
        return body_.subspan(offset, count);
    }
    std::uint8_t u8(std::size_t offset) const { return bytes(offset, 1)[0]; }
    std::uint16_t u16(std::size_t offset) const { return load_be16(bytes(offset, 2).data()); }
    std::uint32_t u32(std::size_t offset) const { return load_be32(bytes(offset, 4).data()); }
    std::uint64_t u64(std::size_t offset) const { return load_be64(bytes(offset, 8).data()); }
    // A table of `count` rows of `row` bytes at `offset`, checked as one.
    ByteView table(std::size_t offset, std::uint64_t count, std::size_t row) const {
        if (count > body_.size() / row) fail(*path_, "has a damaged table in its movie header");
        return bytes(offset, static_cast<std::size_t>(count) * row);
    }

    std::optional<BoxView> find(const char (&name)[5], std::size_t skip = 0) const {
        std::optional<BoxView> found;
        for_each(
            [&](std::uint32_t box, const BoxView& view) {
                if (box == fourcc(name) && !found) found = view;
            },
            skip);
        return found;
    }
    BoxView need(const char (&name)[5], std::size_t skip = 0) const {
        auto found = find(name, skip);
        if (!found) fail(*path_, std::string("lacks the box '") + name + "' in its movie header");
        return *found;
    }

    template <typename Function>
    void for_each(Function function, std::size_t skip = 0) const {
        for (ByteView rest = bytes(skip, body_.size() - std::min(skip, body_.size())); rest.size() >= 8;) {
            std::uint64_t size = load_be32(rest.data());
            std::size_t header = 8;
            if (size == 0) size = rest.size();
            if (size == 1 && rest.size() >= 16) {
                size = load_be64(rest.data() + 8);
                header = 16;
            }
            if (size < header || size > rest.size()) fail(*path_, "has a damaged box in its movie header");
            function(load_be32(rest.data() + 4),
                     BoxView(rest.subspan(header, static_cast<std::size_t>(size) - header), *path_));
            rest = rest.subspan(static_cast<std::size_t>(size));
        }
    }

    const std::string& path() const { return *path_; }
    ByteView body() const { return body_; }

private:
    ByteView body_;
    const std::string* path_;  // the file's, which outlives every view
};

Bytes load_movie_box(const InputFile& file, std::uint64_t offset, const BoxHeader& box) {
    if (box.size > max_movie_bytes) fail(file.path(), "has a movie header of more than 4 GiB");
    Bytes body(static_cast<std::size_t>(box.size - box.header));
    if (!file.read_at(offset + box.header, body)) fail(file.path(), "is cut off inside its movie header");
    return body;
}

// The first `moov` box of a file: the one that counts.
Bytes find_movie_box(const InputFile& file) {
    if (file.size() == 0) fail(file.path(), "is empty");
    std::uint64_t offset = 0;
    for (int boxes = 0; boxes < max_file_boxes && offset < file.size(); ++boxes) {
        const auto box = read_box_header(file, offset);
        if (boxes == 0 && (!box || box->name != fourcc("ftyp"))) fail(file.path(), "is not an MP4 file");
        if (!box)
            fail(file.path(), "is cut off at byte " + std::to_string(file.size()) + ": its last box is not whole");
        if (box->name == fourcc("moof"))
            throw Error(ErrorCode::unsupported, file.path() + " is a fragmented MP4: re-mux it into a plain one");
        if (box->name == fourcc("moov")) return load_movie_box(file, offset, *box);
        offset += box->size;
    }
    fail(file.path(), "has no movie header ('moov' box): it is cut off, or its writing was never finished");
}

struct SampleEntry {
    std::string codec;
    int width = 0;
    int height = 0;
};

// The object type of the decoder configuration inside an `esds` box, or 0.
unsigned object_type(const BoxView& esds) {
    std::size_t at = 4;
    const auto skip_length = [&] {
        while ((esds.u8(at++) & 0x80) != 0) {
        }
    };
    if (esds.u8(at++) != 3) return 0;
    skip_length();
    const unsigned flags = esds.u8(at + 2);
    at += 3;
    if (flags & 0x80) at += 2;
    if (flags & 0x40) at += 1u + esds.u8(at);
    if (flags & 0x20) at += 2;
    if (esds.u8(at++) != 4) return 0;
    skip_length();
    return esds.u8(at);
}

SampleEntry read_sample_entry(const BoxView& stbl) {
    const BoxView stsd = stbl.need("stsd");
    SampleEntry entry;
    stsd.for_each(
        [&](std::uint32_t name, const BoxView& box) {
            if (!entry.codec.empty()) return;
            entry.width = box.u16(24);
            entry.height = box.u16(26);
            for (int shift = 24; shift >= 0; shift -= 8) {
                const auto letter = static_cast<char>(name >> shift & 0x7f);
                entry.codec += letter >= ' ' && letter <= '~' && (name >> shift & 0x80) == 0 ? letter : '?';
            }
            if (name == fourcc("png ")) entry.codec = "png";
            if (name != fourcc("mp4v")) return;
            const auto esds = box.find("esds", 78);
            if (esds && object_type(*esds) == png_object_type) entry.codec = "png";
        },
        8);
    if (entry.codec.empty()) fail(stbl.path(), "has a video track without a codec");
    return entry;
}

std::vector<Sample> read_samples(const BoxView& stbl, std::uint64_t file_size) {
    const BoxView stsz = stbl.need("stsz");
    const std::uint32_t fixed_size = stsz.u32(4), count = stsz.u32(8);
    const ByteView sizes = fixed_size == 0 ? stsz.table(12, count, 4) : ByteView{};
    const auto co64 = stbl.find("co64");
    const BoxView chunks = co64 ? *co64 : stbl.need("stco");
    const std::size_t offset_bytes = co64 ? 8 : 4;
    const std::uint32_t chunk_count = chunks.u32(4);
    const ByteView offsets = chunks.table(8, chunk_count, offset_bytes);
    const BoxView stsc = stbl.need("stsc");
    const std::uint32_t run_count = stsc.u32(4);
    const ByteView runs = stsc.table(8, run_count, 12);
    if (count > max_frames || count > file_size / std::max<std::uint64_t>(fixed_size, min_frame_bytes))
        fail(stbl.path(), "has a table of more frames than its bytes can hold");

    std::vector<Sample> samples;
    samples.reserve(count);
    std::uint64_t total = 0;  // of frames that lie over each other, a small file could have any number
    for (std::uint32_t run = 0; run < run_count; ++run) {
        const std::uint32_t first = load_be32(runs.data() + run * 12),
                            per_chunk = load_be32(runs.data() + run * 12 + 4);
        const std::uint64_t end =
            run + 1 < run_count ? load_be32(runs.data() + (run + 1) * 12) : std::uint64_t{chunk_count} + 1;
        if (first == 0 || end < first || end > std::uint64_t{chunk_count} + 1)
            fail(stbl.path(), "has a damaged frame table");
        for (std::uint64_t chunk = first; chunk < end && samples.size() < count; ++chunk) {
            const std::uint8_t* at = offsets.data() + (chunk - 1) * offset_bytes;
            std::uint64_t offset = offset_bytes == 8 ? load_be64(at) : load_be32(at);
            for (std::uint32_t i = 0; i < per_chunk && samples.size() < count; ++i) {
                const std::uint32_t size = fixed_size != 0 ? fixed_size : load_be32(sizes.data() + samples.size() * 4);
                if (offset > file_size || size > file_size - offset)
                    fail(stbl.path(), "is cut off: frame " + std::to_string(samples.size()) + " lies behind its end");
                total += size;
                if (total > file_size) fail(stbl.path(), "has a table of more frames than its bytes can hold");
                samples.push_back({offset, size});
                offset += size;
            }
        }
    }
    if (samples.size() != count) fail(stbl.path(), "has a damaged frame table");
    return samples;
}

// The frame rate is that of the duration which most frames have.
void read_durations(const BoxView& mdia, const BoxView& stbl, Movie& movie) {
    const BoxView mdhd = mdia.need("mdhd");
    const std::uint32_t timescale = mdhd.u8(0) == 1 ? mdhd.u32(20) : mdhd.u32(12);
    const BoxView stts = stbl.need("stts");
    const std::uint32_t runs = stts.u32(4);
    const ByteView table = stts.table(8, runs, 8);
    std::uint32_t most = 0, usual = 0;
    for (std::uint32_t run = 0; run < runs; ++run) {
        const std::uint32_t samples = load_be32(table.data() + run * std::size_t{8});
        if (samples < most) continue;
        most = samples;
        usual = load_be32(table.data() + run * std::size_t{8} + 4);
    }
    if (usual == 0) return;
    movie.frames_per_second = static_cast<double>(timescale) / usual;
    if (runs > 1 && load_be32(table.data()) == 1)
        movie.first_frames = std::clamp(load_be32(table.data() + 4) / usual, std::uint32_t{1}, longest_first);
}

Movie parse_movie(const InputFile& file, const Bytes& moov) {
    const BoxView root(moov, file.path());
    std::optional<BoxView> video;
    Movie movie;
    root.for_each([&](std::uint32_t name, const BoxView& box) {
        if (name == fourcc("trak")) ++movie.tracks;
        if (name == fourcc("trak") && !video) {
            const BoxView mdia = box.need("mdia");
            if (mdia.need("hdlr").u32(8) == fourcc("vide")) video = mdia;
        }
        if (name == fourcc("uuid") && box.body().size() >= sizeof page_table_uuid &&
            std::memcmp(box.body().data(), page_table_uuid, sizeof page_table_uuid) == 0) {
            const ByteView table = box.body().subspan(sizeof page_table_uuid);
            movie.page_table.emplace(table.begin(), table.end());
        }
    });
    if (!video) fail(file.path(), "has no video track");
    const BoxView stbl = video->need("minf").need("stbl");
    const SampleEntry entry = read_sample_entry(stbl);
    movie.codec = entry.codec;
    movie.width = entry.width;
    movie.height = entry.height;
    movie.samples = read_samples(stbl, file.size());
    read_durations(*video, stbl, movie);
    return movie;
}

}  // namespace

std::optional<BoxHeader> read_box_header(const InputFile& file, std::uint64_t offset) {
    std::uint8_t head[16];
    const std::uint64_t left = offset < file.size() ? file.size() - offset : 0;
    if (left < 8 || !file.read_at(offset, std::span(head, 8))) return std::nullopt;
    BoxHeader box{load_be32(head + 4), 8, load_be32(head), false};
    box.endless = box.size == 0;
    if (box.endless) box.size = left;
    if (box.size == 1) {
        if (left < 16 || !file.read_at(offset + 8, std::span(head + 8, 8))) return std::nullopt;
        box.header = 16;
        box.size = load_be64(head + 8);
    }
    if (box.size < box.header || box.size > left) return std::nullopt;
    return box;
}

Movie read_movie(const InputFile& file) { return parse_movie(file, find_movie_box(file)); }

Movie read_movie(const InputFile& file, std::uint64_t movie_offset) {
    const auto box = read_box_header(file, movie_offset);
    if (!box || box->name != fourcc("moov"))
        fail(file.path(), "has no movie header at byte " + std::to_string(movie_offset));
    return parse_movie(file, load_movie_box(file, movie_offset, *box));
}

}  // namespace memvid
