// Where a file goes on, and what makes that count. docs/format.md, "Appending", is normative.

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "memvid/error.hpp"
#include "memvid/mp4.hpp"
#include "mp4_boxes.hpp"

namespace memvid {

namespace {

[[noreturn]] void refuse(const InputFile& file, const std::string& why) {
    throw Error(ErrorCode::unsupported,
                file.path() + " cannot be appended to: " + why + "; write it anew (memvid export --codec png)");
}

[[noreturn]] void damaged(const InputFile& file, const std::string& why) {
    throw Error(ErrorCode::format,
                file.path() + " cannot be appended to: " + why + "; repair it first (memvid repair)");
}

// Whether each letter is that of `moov` or that of `free`: all that a torn write of one over the other can leave.
bool is_movie_name(std::uint32_t name) {
    for (int shift = 0; shift < 32; shift += 8) {
        const std::uint32_t letter = name >> shift & 0xff;
        if (letter != (fourcc("moov") >> shift & 0xff) && letter != (fourcc("free") >> shift & 0xff)) return false;
    }
    return true;
}

struct Mark {
    std::uint64_t offset = 0;
    std::uint64_t movie = 0;
};

std::optional<Mark> read_mark(const InputFile& file, std::uint64_t offset, const BoxHeader& box) {
    std::array<std::uint8_t, append_mark_bytes> bytes;
    if (box.name != fourcc("uuid") || box.size != bytes.size() || !file.read_at(offset, bytes)) return std::nullopt;
    const std::uint64_t movie = load_be64(bytes.data() + bytes.size() - 8);
    if (bytes != append_mark(movie)) return std::nullopt;
    return Mark{offset, movie};
}

// Where the boxes of an index end that begin at `offset`: its data, and the copy of its manifest; either may be absent.
std::uint64_t behind_index(const InputFile& file, std::uint64_t offset) {
    for (const ByteView expected : {ByteView(index_uuid), ByteView(manifest_uuid)}) {
        const auto box = read_box_header(file, offset);
        std::array<std::uint8_t, sizeof index_uuid> type;
        if (box && !box->endless && box->name == fourcc("uuid") && box->size >= box->header + type.size() &&
            file.read_at(offset + box->header, type) && std::ranges::equal(type, expected))
            offset += box->size;
    }
    return offset;
}

// What a power cut leaves of a mark that was being written: at most its bytes, the file's last. They may be zeros from
// some byte on, where the file had grown before they came, and then look like a box.
bool is_torn_mark(const InputFile& file, std::uint64_t offset, std::uint64_t movie) {
    const std::uint64_t left = file.size() - offset;
    if (left > append_mark_bytes) return false;
    Bytes tail(static_cast<std::size_t>(left));
    if (!file.read_at(offset, tail)) return false;
    const auto rest = std::ranges::mismatch(tail, append_mark(movie)).in1;
    return std::all_of(rest, tail.end(), [](std::uint8_t byte) { return byte == 0; });
}

// A file box by box, as far as it counts.
class Walk {
public:
    explicit Walk(const InputFile& file) : file_(file) {
        int boxes = 0;
        while (at_ < file.size() && step())
            if (++boxes == max_file_boxes) refuse(file, "it has more than a million boxes");
        if (!movie_) damaged(file, "it has no movie header ('moov' box)");
    }

    AppendPoint point() const { return {*movie_, at_, uncommitted_}; }
    // The mark of an append, committed or not.
    std::optional<Mark> mark_at(std::uint64_t offset) const {
        const auto found = std::ranges::find(marks_, offset, &Mark::offset);
        return found == marks_.end() ? std::nullopt : std::optional(*found);
    }

private:
    // Goes over one box; false where an append begins that was not committed.
    bool step() {
        const auto box = read_box_header(file_, at_);
        if (at_ == 0 && (!box || box->name != fourcc("ftyp"))) refuse(file_, "it is not an MP4 file");
        if (movie_ && is_torn_mark(file_, at_, *movie_)) return begins_append();
        if (const auto mark = box ? read_mark(file_, at_, *box) : std::nullopt) {
            if (!std::ranges::binary_search(movies_, mark->movie))
                damaged(file_, "the mark at byte " + std::to_string(at_) + " names no movie header before it");
            marks_.push_back(*mark);
            if (movie_ == mark->movie) return begins_append();
        }
        if (!box) damaged(file_, "what is behind byte " + std::to_string(at_) + " is no whole box");
        if (box->endless) refuse(file_, "its last box has no end");
        if (box->name == fourcc("moof")) refuse(file_, "it is in fragments");
        if (box->name == fourcc("moov")) {
            if (movie_) refuse(file_, "it has a second movie header, which would count when the first no longer does");
            movie_ = at_;
        }
        if (is_movie_name(box->name)) movies_.push_back(at_);
        at_ += box->size;
        return true;
    }

    bool begins_append() {
        uncommitted_ = true;
        return false;
    }

    const InputFile& file_;
    std::uint64_t at_ = 0;
    bool uncommitted_ = false;
    std::optional<std::uint64_t> movie_;
    std::vector<std::uint64_t> movies_;  // ascending; with those that count no more, and with any other `free` box
    std::vector<Mark> marks_;
};

}  // namespace

AppendPoint find_append_point(const InputFile& file) { return Walk(file).point(); }

void commit_append(const std::string& path, std::uint64_t mark) {
    const InputFile file(path);
    const auto fail = [&](const std::string& why) {
        throw Error(ErrorCode::format, path + " has no complete append at byte " + std::to_string(mark) + ": " + why +
                                           "; the memory is as it was before, remove the journal beside its index");
    };
    const Walk walk(file);
    const auto found = walk.mark_at(mark);
    if (!found) fail("there is no mark of one");
    const bool committed = found->movie != walk.point().movie;
    const std::uint64_t data_at = mark + append_mark_bytes;
    const auto data = read_box_header(file, data_at);
    if (!data || data->endless || data->name != fourcc("mdat")) fail("its frames are not whole");
    const std::uint64_t movie_at = behind_index(file, data_at + data->size);
    const auto movie = read_box_header(file, movie_at);
    // If it was committed long ago, the next append may have taken its place.
    const bool named = movie && (movie->name == fourcc("moov") || (committed && is_movie_name(movie->name)));
    if (!named || movie->endless) fail("its movie header is not whole");
    if (!committed) read_movie(file, movie_at);
    OutputFile out(path, file.size());
    constexpr std::uint8_t letters[4] = {'f', 'r', 'e', 'e'};
    out.overwrite(found->movie + 4,
                  letters);  // also where they are complete: nobody knows whether they are on the disk
    out.sync();
    out.close();
}

}  // namespace memvid
