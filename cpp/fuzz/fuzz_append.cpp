// Appending to any file: it is refused, or grows by what is appended and nothing that counted changes.
#include <cstring>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/frame_writer.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { committed, left_alone, abandoned, commit_only, modes };

constexpr int version = 5;
const std::uint8_t page_table[] = {'t', 'a', 'b', 'l', 'e'};

Bytes content_of(const MemoryFile& file) {
    const InputFile opened(file.path());
    Bytes bytes(static_cast<std::size_t>(opened.size()));
    opened.read_at(0, bytes);
    return bytes;
}

// Where two files differ in their first `size` bytes, it may only be in the name of one box.
void require_kept(const Bytes& before, const Bytes& after, std::size_t size, std::uint64_t movie) {
    require(size <= before.size() && size <= after.size(), "what counted is all there");
    for (std::size_t i = 0; i < size; ++i)
        require(before[i] == after[i] || (i >= movie + 4 && i < movie + 8), "what counted is as it was");
}

void append(const MemoryFile& file, const Bytes& before, Mode mode, ByteView payload) {
    WriterOptions options;
    options.symbol.version = version;
    options.threads = 1;
    const InputFile opened(file.path());
    const AppendPoint point = find_append_point(opened);
    require(point.movie < point.end && point.end <= before.size(), "an append begins behind the movie");
    const std::size_t frames = read_movie(opened).samples.size();
    std::uint64_t mark = 0;
    {
        const auto writer = FrameWriter::append_to(file.path(), options);
        const ByteView payloads[] = {payload};
        writer->write(payloads, {});
        writer->finish(page_table);
        mark = writer->mark();
        require(mark == point.end, "an append begins where what counts ends");
        if (mode == abandoned) writer->abandon();
    }
    Bytes after = content_of(file);
    require_kept(before, after, point.end, UINT64_MAX - 8);
    if (mode == abandoned) require(after.size() == point.end, "an append that was given up leaves nothing");
    require(read_movie(InputFile(file.path())).samples.size() == frames, "what is not committed does not count");
    if (mode == committed) {
        commit_append(file.path(), mark);
        after = content_of(file);
        require_kept(before, after, point.end, point.movie);
        const Movie grown = read_movie(InputFile(file.path()));
        require(grown.samples.size() == frames + 1, "a frame was added");
        require(grown.page_table == Bytes(std::begin(page_table), std::end(page_table)), "the new page table counts");
        commit_append(file.path(), mark);
        require(content_of(file) == after, "to commit again changes nothing");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static MemoryFile file;
    Input input(data, size);
    const auto mode = static_cast<Mode>(input.u8() % modes);
    const std::uint64_t mark = input.u16();
    const Bytes payload = copy_of(input.bytes(1 + input.u8() % 100));
    const Bytes before = copy_of(input.rest());
    file.write(before);
    try {
        if (mode != commit_only) {
            append(file, before, mode, payload);
            return 0;
        }
        commit_append(file.path(), mark);
        const Bytes after = content_of(file);
        require(after.size() == before.size(), "a commit adds nothing");
        std::size_t changed = 0;
        for (std::size_t i = 0; i < after.size(); ++i) changed += after[i] != before[i] ? 1U : 0U;
        require(changed <= 4, "a commit changes one name");
    } catch (const Error& error) {
        require(error.code() != ErrorCode::output && error.code() != ErrorCode::io, "memory can be written to");
    }
    return 0;
}
