// A whole file through the readers of frames and chunks. Its mutator makes what plain mutation never would: other
// modules, other pages and other page tables behind checksums that are right.
#include "fuzz.hpp"
#include "memvid/chunk_reader.hpp"
#include "memvid/error.hpp"
#include "memvid/frame_reader.hpp"
#include "memvid/qr_code.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

constexpr std::size_t most_frames = 3;

std::vector<std::int64_t> first_indices(std::size_t count) {
    std::vector<std::int64_t> indices;
    for (std::size_t i = 0; i < std::min(count, most_frames); ++i) indices.push_back(static_cast<std::int64_t>(i));
    return indices;
}

// The rows that a reader in Python makes of a page table.
DataFrames rows_of(const PageTable& table) {
    DataFrames rows;
    std::int64_t next_chunk = 0;
    for (std::size_t i = 0; i < table.kinds.size(); ++i) {
        const unsigned count = table.counts[2 * i] | table.counts[2 * i + 1] << 8;
        std::size_t end = i + 1;
        while (end < table.kinds.size() && table.kinds[end] == static_cast<std::uint8_t>(PageKind::continuation)) ++end;
        if (count != 0) {
            rows.frames.push_back(static_cast<std::int64_t>(i));
            rows.first_chunks.push_back(next_chunk);
            rows.counts.push_back(static_cast<std::uint16_t>(count));
            rows.runs.push_back(static_cast<std::int64_t>(end - i));
            rows.bare.push_back(table.kinds[i] == 0xff ? 1 : 0);
        }
        next_chunk += count;
    }
    return rows;
}

void read_chunks(const FrameReader& reader, const PageTable& table) {
    const DataFrames rows = rows_of(table);
    const ChunkReader chunks(reader, rows, table.tag, std::nullopt, 1 << 16);
    std::vector<std::int64_t> ids;
    for (std::size_t i = 0; i < std::min(rows.frames.size(), most_frames); ++i)
        ids.insert(ids.end(), {rows.first_chunks[i], rows.first_chunks[i] + rows.counts[i] - 1});
    std::size_t total = 0;
    constexpr ReadLimits limits{std::size_t{256} << 20, std::size_t{64} << 20};
    try {
        for (const auto& found : chunks.read(ids, limits, {}).chunks) total += found.text.size() + found.metadata.size();
    } catch (const Error& error) {
        require(error.code() == ErrorCode::limit, "chunks are read, or are too much");
    }
    require(total <= limits.answer, "texts are no larger than the caller allows");
}

void read_video(const std::string& path, bool again) {
    FrameReader reader(path, 1);
    const auto indices = first_indices(reader.frame_count());
    PageTable table;
    if (reader.movie().page_table && parse_page_table(*reader.movie().page_table, table) &&
        table.frames == reader.frame_count() && table.frames <= most_frames) {
        std::vector<std::uint32_t> checksums;
        for (std::size_t i = 0; i < table.frames; ++i) checksums.push_back(load_le32(table.checksums.data() + 4 * i));
        reader.expect(checksums);
        const auto batch = reader.read(indices, Decoder::automatic, {});
        std::size_t sound = 0;
        for (std::size_t i = 0; i < batch.results.size(); ++i) {
            sound += batch.results[i].status == FrameStatus::ok ? 1U : 0U;
            if (batch.results[i].status == FrameStatus::ok)
                require(verify_payload(batch.results[i].payload, checksums[i]) == Verdict::verified,
                        "a payload has the checksum of its frame");
        }
        if (again || sound == batch.results.size()) read_chunks(reader, table);
    } else {
        reader.read(indices, Decoder::automatic, {});
    }
    if (!indices.empty()) reader.read_pixels(0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static MemoryFile file;
    file.write({data, size});
    try {
        read_video(file.path(), one_in(4, data, size));  // frames that cannot be read go to a detector, which is slow
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format || error.code() == ErrorCode::unsupported ||
                    error.code() == ErrorCode::config,
                "files lie by format, page tables by what they claim");
    }
    return 0;
}


extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

// The parts of a sound video, to be changed and put together again by our own writer.
struct Parts {
    int width = 0;
    int height = 0;
    std::vector<Bytes> frames;
    Bytes page_table;
};

std::optional<Parts> take_apart(const MemoryFile& file) {
    try {
        const InputFile opened(file.path());
        const Movie movie = read_movie(opened);
        if (movie.samples.empty() || movie.samples.size() > most_frames || movie.codec != "png") return std::nullopt;
        Parts parts{movie.width, movie.height, {}, movie.page_table.value_or(Bytes{})};
        for (const auto& sample : movie.samples) {
            parts.frames.emplace_back(std::min<std::size_t>(sample.size, 4096));
            opened.read_at(sample.offset, parts.frames.back());
        }
        return parts;
    } catch (const Error&) {
        return std::nullopt;
    }
}

Bytes put_together(const MemoryFile& file, const Parts& parts) {
    {
        OutputFile out(file.path());
        Mp4Writer writer(out, std::clamp(parts.width, 1, 0xffff), std::clamp(parts.height, 1, 0xffff), 30);
        for (const auto& frame : parts.frames) writer.append(frame);
        writer.finish(parts.page_table);
        out.sync();
        out.close();
    }
    const InputFile written(file.path());
    Bytes bytes(static_cast<std::size_t>(written.size()));
    written.read_at(0, bytes);
    return bytes;
}

void mutate(Bytes& bytes, std::size_t room) {
    const std::size_t size = bytes.size();
    bytes.resize(std::max(size, room));
    bytes.resize(LLVMFuzzerMutate(bytes.data(), size, bytes.size()));
}

// Symbols of the version whose frames are as wide as these.
std::optional<int> version_of(int width) {
    for (int version = min_symbol_version; version <= max_symbol_version; ++version)
        if (frame_geometry(version).width == width) return version;
    return std::nullopt;
}

PngEncoder& encoder() {
    static PngEncoder own;
    return own;
}

std::optional<Bytes> payload_of(const Parts& parts, std::size_t frame) {
    PngDecoder decoder;
    const auto picture = decoder.decode(parts.frames[frame], parts.width, parts.height);
    if (!picture) return std::nullopt;
    const Bytes grey = to_grey(picture->image);
    return read_symbol({grey.data(), parts.width, parts.height, static_cast<std::size_t>(parts.width)},
                       Detection::pure);
}

void store_checksum(Parts& parts, std::size_t frame, std::uint32_t sum) {
    PageTable table;
    if (!parse_page_table(parts.page_table, table) || frame >= table.frames) return;
    const std::size_t at = 16 + 3 * std::size_t{table.frames} + 4 * frame;
    for (std::size_t i = 0; i < 4; ++i) parts.page_table[at + i] = static_cast<std::uint8_t>(sum >> (8 * i));
}

// Another page, sealed, drawn and listed in the page table as a forger would.
bool mutate_page(Parts& parts, std::size_t frame, std::uint32_t random) {
    const auto version = version_of(parts.width);
    auto payload = payload_of(parts, frame);
    if (!version || !payload) return false;
    SymbolOptions options;
    options.version = *version;
    mutate(*payload, static_cast<std::size_t>(symbol_capacity(options)));
    if (random % 8 != 0) seal_page(*payload);
    payload->resize(std::min<std::size_t>(payload->size(), static_cast<std::size_t>(symbol_capacity(options))));
    if (payload->empty()) return false;
    if (random % 8 != 0 && payload->size() >= page_header_bytes)
        store_checksum(parts, frame, load_le32(payload->data() + page_header_bytes - 4));
    if (random % 8 == 0) store_checksum(parts, frame, crc32(*payload));
    parts.frames[frame] = encoder().encode(create_symbol(*payload, options), frame_geometry(*version));
    return true;
}

// Other modules in a picture that is sound as a file.
bool mutate_modules(Parts& parts, std::size_t frame) {
    const auto version = version_of(parts.width);
    PngDecoder decoder;
    const auto picture = decoder.decode(parts.frames[frame], parts.width, parts.height);
    if (!version || !picture) return false;
    const FrameGeometry geometry = frame_geometry(*version);
    Symbol symbol{geometry.symbol.side(), {}};
    for (int y = 0; y < symbol.side; ++y)
        for (int x = 0; x < symbol.side; ++x)
            symbol.modules.push_back(picture->image.white(x + geometry.symbol.left, y + geometry.symbol.top) ? 0 : 1);
    const std::size_t size = symbol.modules.size();
    symbol.modules.resize(LLVMFuzzerMutate(symbol.modules.data(), size, size));
    symbol.modules.resize(size);
    for (auto& module : symbol.modules) module &= 1;
    parts.frames[frame] = encoder().encode(symbol, geometry);
    return true;
}

// Bytes of the movie header, whatever they are.
void mutate_movie(Bytes& bytes, std::uint32_t random) {
    static constexpr std::uint8_t name[] = {'m', 'o', 'o', 'v'};
    const auto at = std::search(bytes.begin(), bytes.end(), std::begin(name), std::end(name));
    const auto left = static_cast<std::size_t>(bytes.end() - at);
    if (left < 8) return;
    const std::size_t start = 4 + random % (left - 4),
                      size = std::min<std::size_t>(left - start, 1 + (random >> 24) % 16);
    LLVMFuzzerMutate(&*at + start, size, size);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
    static MemoryFile file;
    std::uint32_t random = seed * 2654435761U;
    const std::uint32_t choice = random >> 29;
    random = random * 1664525U + 1013904223U;
    Bytes bytes(data, data + size);
    file.write(bytes);
    auto parts = choice < 2 ? std::nullopt : take_apart(file);
    if (!parts) return LLVMFuzzerMutate(data, size, max_size);
    const std::size_t frame = (random >> 8) % parts->frames.size();
    bool changed = true;
    switch (choice) {
        case 2: mutate(parts->page_table, parts->page_table.size() + 32); break;
        case 3: changed = mutate_modules(*parts, frame); break;
        case 4: mutate(parts->frames[frame], parts->frames[frame].size() + 32); break;
        case 5: mutate_movie(bytes, random); break;
        default: changed = mutate_page(*parts, frame, random >> 16); break;
    }
    if (!changed) return LLVMFuzzerMutate(data, size, max_size);
    if (choice != 5) bytes = put_together(file, *parts);
    if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
    std::copy(bytes.begin(), bytes.end(), data);
    return bytes.size();
}
