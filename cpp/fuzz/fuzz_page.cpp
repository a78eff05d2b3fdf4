// Pages: from payloads that passed their checksums to the chunks in them, bodies, dictionaries, runs and lengths.
#include <algorithm>

#include "fuzz.hpp"
#include "memvid/chunk_reader.hpp"
#include "memvid/error.hpp"
#include "memvid/page.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { chunks_of_frames, body, lengths, modes };

// What a body may grow to here. That the limit proper holds is a test's: filling 64 MiB each time would find less.
constexpr std::size_t largest_body = 1 << 18;

// Frames whose payloads are the input's.
class MemoryFrames : public FrameSource {
public:
    explicit MemoryFrames(std::vector<Bytes> payloads) : payloads_(std::move(payloads)) {}

    std::size_t frame_count() const override { return payloads_.size(); }
    void read_each(std::span<const std::size_t> frames, Decoder, const Take& take, const Poll&) const override {
        for (std::size_t i = 0; i < frames.size(); ++i) take(i, {FrameStatus::ok, payloads_.at(frames[i])});
    }

private:
    std::vector<Bytes> payloads_;
};

// zstd frames say how large they become in their first bytes; descriptor and sizes as in RFC 8878.
bool too_large_to_be_worth_it(ByteView stored) {
    if (stored.size() < 6 || load_le32(stored.data()) != 0xfd2fb528) return false;
    const unsigned descriptor = stored[4], width = descriptor >> 6, single = descriptor >> 5 & 1, ids = descriptor & 3;
    const std::size_t at = 5 + (single != 0 ? 0U : 1U) + (ids == 3 ? 4U : ids);
    const std::size_t bytes = width == 0 ? single : std::size_t{1} << width;
    std::uint64_t size = 0;
    for (std::size_t i = 0; i < bytes && at + i < stored.size(); ++i)
        size |= static_cast<std::uint64_t>(stored[at + i]) << (8 * i);
    return size > largest_body && size <= max_body_bytes;
}

void check_page(const RecordPage& page, std::size_t count) {
    require(page.size() == count, "a page has as many chunks as it says");
    std::size_t total = 0;
    unsigned seen = 0;
    for (std::size_t slot = 0; slot < count; ++slot)
        for (const ByteView part : {page.text(slot), page.metadata(slot)}) {
            total += part.size();
            for (const std::uint8_t byte : part) seen += byte;
        }
    require(total <= page.nbytes() && seen < 0xffffffffU, "chunks lie in their page");
}

int read_chunks(Input& input) {
    constexpr std::size_t max_frames = 8;
    const std::size_t frames = 1 + input.u8() % max_frames;
    const bool keyed = input.u8() % 2 == 1;
    const Bytes dictionary = copy_of(keyed ? input.bytes(input.u16()) : ByteView{});
    std::vector<Bytes> payloads;
    DataFrames table;
    for (std::size_t i = 0; i < frames; ++i) {
        const std::uint8_t row = input.u8();
        if ((row & 1) != 0) {
            table.frames.push_back(static_cast<std::int64_t>(i));
            table.first_chunks.push_back(static_cast<std::int64_t>(input.u8()));
            table.counts.push_back(static_cast<std::uint16_t>((row & 2) != 0 ? input.u16() : input.u8()));
            table.runs.push_back(1 + ((row >> 4) & 7));
            table.bare.push_back((row & 4) != 0 ? 1 : 0);
        }
        Bytes payload = copy_of(input.bytes(input.u16() % 2048));
        if ((row & 8) == 0) seal_page(payload);
        if (payload.size() > page_header_bytes &&
            (too_large_to_be_worth_it(ByteView(payload).subspan(page_header_bytes)) ||
             (payload.size() > page_header_bytes + run_head_bytes &&
              too_large_to_be_worth_it(ByteView(payload).subspan(page_header_bytes + run_head_bytes)))))
            return -1;
        payloads.push_back(std::move(payload));
    }
    const std::uint32_t tag = payloads[0].size() < 12 ? 0 : load_le32(payloads[0].data() + 8);
    const MemoryFrames video(std::move(payloads));
    const ChunkReader reader(video, table, tag, keyed ? std::optional<ByteView>(dictionary) : std::nullopt, 1 << 16);
    std::vector<std::int64_t> ids;
    for (std::int64_t id = 0; id < 40; ++id) ids.push_back(id);
    for (int round = 0; round < 2; ++round)
        for (const auto& found : reader.read(ids, {}, {}).chunks)
            require(!found.whole || found.frame >= 0, "a chunk that is found has a place");
    return 0;
}

int open_body(Input& input) {
    const bool keyed = input.u8() % 2 == 1;
    const Bytes dictionary = copy_of(keyed ? input.bytes(input.u16()) : ByteView{});
    const std::uint16_t count = input.u16();
    const Bytes stored = copy_of(input.rest());
    if (too_large_to_be_worth_it(stored)) return -1;
    const Decompressor decompressor(keyed ? std::optional<ByteView>(dictionary) : std::nullopt);
    for (const bool with : {false, true}) {
        auto opened = decompressor.decompress(stored, with);
        if (!opened) continue;
        require(opened->size() <= max_body_bytes, "a body keeps to the limit");
        if (const auto page = RecordPage::open(std::move(*opened), count)) check_page(*page, count);
    }
    return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    try {
        switch (static_cast<Mode>(input.u8() % modes)) {
            case chunks_of_frames: return read_chunks(input);
            case body: return open_body(input);
            default: break;
        }
        const std::uint16_t count = input.u16();
        if (const auto page = RecordPage::open(copy_of(input.rest()), count)) check_page(*page, count);
    } catch (const Error& error) {
        require(error.code() == ErrorCode::config || error.code() == ErrorCode::format, "tables or dictionaries lie");
    }
    return 0;
}
