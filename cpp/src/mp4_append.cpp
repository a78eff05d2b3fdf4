// Where a file goes on, and what makes that count. docs/format.md, "Appending", is normative.

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "memvid/error.hpp"
#include "memvid/mp4.hpp"
#include "mp4_boxes.hpp"

namespace memvid {

namespace {

constexpr int max_boxes = 1 << 20;

struct Box {
    std::array<char, 4> name{};
    std::uint64_t size = 0;
    bool endless = false;  // its size is 0: to the end of the file
};

bool is_named(const Box& box, const char (&name)[5]) { return std::memcmp(box.name.data(), name, 4) == 0; }

// The box at an offset; nothing when it is not whole.
std::optional<Box> read_box(const InputFile& file, std::uint64_t offset) {
    std::uint8_t head[16];
    if (offset > file.size()) return std::nullopt;
    const std::uint64_t left = file.size() - offset;
    if (left < 8 || !file.read_at(offset, std::span(head, 8))) return std::nullopt;
    Box box;
    std::memcpy(box.name.data(), head + 4, 4);
    box.size = load_be32(head);
    box.endless = box.size == 0;
    if (box.endless) box.size = left;
    if (box.size == 1) {
        if (left < 16 || !file.read_at(offset + 8, std::span(head + 8, 8))) return std::nullopt;
        box.size = load_be64(head + 8);
        if (box.size < 16) return std::nullopt;
    }
    if (box.size < 8 || box.size > left) return std::nullopt;
    return box;
}

// The `moov` that a mark names; nothing when there is no mark at the offset.
std::optional<std::uint64_t> read_mark(const InputFile& file, std::uint64_t offset, const Box& box) {
    std::uint8_t bytes[append_mark_bytes];
    if (!is_named(box, "uuid") || box.size != append_mark_bytes || !file.read_at(offset, bytes)) return std::nullopt;
    if (std::memcmp(bytes + 8, append_uuid, sizeof append_uuid) != 0) return std::nullopt;
    return load_be64(bytes + 24);
}

// Whether what is behind the last whole box can be a mark that a power cut has torn.
bool is_torn_mark(const InputFile& file, std::uint64_t offset) {
    const std::uint64_t left = file.size() - offset;
    if (left < append_mark_bytes) return true;
    std::uint8_t bytes[append_mark_bytes];
    return left == append_mark_bytes && file.read_at(offset, bytes) &&
           std::all_of(std::begin(bytes), std::end(bytes), [](std::uint8_t byte) { return byte == 0; });
}

[[noreturn]] void refuse(const InputFile& file, const std::string& why) {
    throw Error(ErrorCode::unsupported,
                file.path() + " cannot be appended to: " + why + "; write it anew (memvid export --codec png)");
}

}  // namespace

AppendPoint find_append_point(const InputFile& file) {
    std::optional<std::uint64_t> movie;
    std::uint64_t offset = 0;
    for (int boxes = 0; offset < file.size(); ++boxes) {
        if (boxes == max_boxes) refuse(file, "it has more than a million boxes");
        const auto box = read_box(file, offset);
        if ((!box || box->endless) && is_torn_mark(file, offset)) break;
        if (!box) refuse(file, "behind byte " + std::to_string(offset) + " is something that is no box");
        if (boxes == 0 && !is_named(*box, "ftyp")) throw Error(ErrorCode::format, file.path() + " is not an MP4 file");
        if (box->endless) refuse(file, "its last box has no end");
        if (const auto named = read_mark(file, offset, *box); named && movie && *named == *movie) break;
        if (!movie && is_named(*box, "moov")) movie = offset;
        offset += box->size;
    }
    if (!movie) throw Error(ErrorCode::format, file.path() + " has no movie header ('moov' box): repair it first");
    return {*movie, offset};
}

void commit_append(const std::string& path, std::uint64_t mark) {
    const InputFile file(path);
    const auto fail = [&](const std::string& why) {
        throw Error(ErrorCode::format, path + " has no complete append at byte " + std::to_string(mark) + ": " + why +
                                           "; the memory is as it was before, remove the journal beside its index");
    };
    const auto box = read_box(file, mark);
    const auto named = box ? read_mark(file, mark, *box) : std::nullopt;
    if (!named) fail("there is no mark of one");
    const auto old = read_box(file, *named);
    if (!old || old->endless || *named > mark || old->size > mark - *named) fail("its mark names no box before it");
    for (std::size_t i = 0; i < 4; ++i)  // a power cut may have left two of the four letters
        if (old->name[i] != "moov"[i] && old->name[i] != "free"[i]) fail("its mark names no movie header");
    const std::uint64_t data_at = mark + append_mark_bytes;
    const auto data = read_box(file, data_at);
    if (!data || data->endless || !is_named(*data, "mdat")) fail("its frames are not whole");
    const auto movie = read_box(file, data_at + data->size);
    if (!movie || movie->endless || !is_named(*movie, "moov")) fail("its movie header is not whole");
    OutputFile out(path, file.size());
    if (!is_named(*old, "free")) {
        const std::uint8_t letters[4] = {'f', 'r', 'e', 'e'};
        out.overwrite(*named + 4, letters);
    }
    out.sync();
    out.close();
}

}  // namespace memvid
