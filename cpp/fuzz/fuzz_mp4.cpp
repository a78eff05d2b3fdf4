// The container: any bytes as a file, as what follows a sound start, and as the body of a movie header.
#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/mp4.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { whole_file, behind_ftyp, movie_box, track_box, modes };

void open_box(ByteWriter& out, const char (&name)[5], std::size_t body) {
    out.u32(static_cast<std::uint32_t>(8 + body));
    out.text(name);
}

Bytes file_of(Mode mode, ByteView bytes) {
    Bytes file;
    ByteWriter out(file);
    if (mode != whole_file) {
        open_box(out, "ftyp", 8);
        out.text("isom");
        out.u32(0);
    }
    if (mode == movie_box) open_box(out, "moov", bytes.size());
    if (mode == track_box) {
        open_box(out, "moov", bytes.size() + 8);
        open_box(out, "trak", bytes.size());
    }
    out.raw(bytes);
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static MemoryFile file;
    Input input(data, size);
    const auto mode = static_cast<Mode>(input.u8() % modes);
    const Bytes bytes = file_of(mode, input.rest());
    file.write(bytes);
    try {
        const InputFile opened(file.path());
        const Movie movie = read_movie(opened);
        for (const auto& sample : movie.samples)
            require(sample.offset <= bytes.size() && sample.size <= bytes.size() - sample.offset,
                    "a frame lies in the file");
        require(movie.samples.size() <= bytes.size() / 8 + 1, "frames are no more than the file can hold");
        require(!movie.page_table || movie.page_table->size() <= bytes.size(), "the page table was in the file");
        for (const char letter : movie.codec) require(letter >= ' ' && letter <= '~', "a codec's name is printable");
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format || error.code() == ErrorCode::unsupported, "files lie by format");
    }
    return 0;
}
