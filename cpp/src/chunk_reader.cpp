#include "memvid/chunk_reader.hpp"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <mutex>
#include <string>

#include "memvid/error.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace memvid {

// A cache belongs to one process: after a fork its lock may be held, and its lists half changed, by a thread that the
// child does not have. The child gets a cache of its own and leaves the old one alone.
struct ChunkReader::ProcessCache {
    explicit ProcessCache(std::size_t capacity) : pages(capacity) {}

    const long process = ::getpid();
    PageCache pages;
};

// A page that is read. Its frames are `count` of the batch's, from `first` on; its chunks are those of the wanted ones
// from `begin` to `end`.
struct ChunkReader::PageRead {
    PageRead(std::size_t row, std::size_t begin, std::size_t end) : row(row), begin(begin), end(end) {}

    const std::size_t row, begin, end;
    std::size_t first = 0, count = 0;
    std::atomic<std::size_t> missing{0};
};

// The joined stored bodies of a page's frames, and what they are when they are opened.
struct ChunkReader::Stored {
    Bytes bytes;
    std::size_t unpacked = 0;
    bool bare = false, zstd = false, dictionary = false;
};

namespace {

// A page that unpacks to more is opened by itself: what is in memory does not grow with the number of threads.
constexpr std::size_t large_page_bytes = 1 << 20;

// A call that unpacked more gives what it has freed back to the system: else glibc keeps it for the thread that took it,
// and readings that come one after the other, each in its own thread, would add up as if they had run at once.
constexpr std::size_t kept_bytes = 64 << 20;

// Bytes that Python keeps a text in: one, two or four a character, as the widest one needs.
std::size_t python_bytes(ByteView text) {
    std::size_t characters = 0;
    std::uint8_t widest = 0;
    for (const std::uint8_t byte : text) {
        characters += (byte & 0xc0) != 0x80;
        widest = std::max(widest, byte);
    }
    return characters * (widest >= 0xf0 ? 4 : widest >= 0xc4 ? 2 : 1);
}

void spend(std::atomic<std::size_t>& spent, std::size_t bytes, std::size_t limit, const char* what) {
    const std::size_t before = spent.fetch_add(bytes, std::memory_order_relaxed);
    if (before > limit || bytes > limit - before)
        throw Error(ErrorCode::limit, std::string("the chunks that were asked for ") + what + " more than " +
                                          std::to_string(limit) + " bytes");
}

}  // namespace

// One call: what was asked for, and what it has taken so far.
class ChunkReader::Reading {
public:
    Reading(std::vector<std::int64_t> ids, const ReadLimits& limits)
        : ids(std::move(ids)), chunks(this->ids.size()), limits_(limits) {}

    ~Reading() {
#ifdef __GLIBC__
        chunks = {};
        if (unpacked_ > kept_bytes) ::malloc_trim(0);
#endif
    }

    void unpack(std::size_t bytes) { spend(unpacked_, bytes, limits_.unpacked, "unpack to"); }

    // Copies the wanted chunks out of their page, which need not stay in memory.
    void take(const PageRead& read, std::int64_t first_chunk, const RecordPage& page) {
        for (std::size_t i = read.begin; i < read.end; ++i) {
            const auto slot = static_cast<std::size_t>(ids[i] - first_chunk);
            const ByteView text = page.text(slot), metadata = page.metadata(slot);
            spend(answer_, std::max(text.size(), python_bytes(text)) + metadata.size(), limits_.answer, "take");
            chunks[i].text.assign(text.begin(), text.end());
            chunks[i].metadata.assign(metadata.begin(), metadata.end());
            chunks[i].whole = true;
        }
    }

    const std::vector<std::int64_t> ids;  // ascending, each once
    std::vector<FoundChunk> chunks;
    std::mutex large_page;  // of this call alone: none that a fork could leave locked

private:
    const ReadLimits limits_;
    std::atomic<std::size_t> unpacked_{0}, answer_{0};
};

ChunkReader::ChunkReader(const FrameSource& video, DataFrames table, std::uint32_t tag,
                         std::optional<ByteView> dictionary, std::size_t cache_bytes)
    : video_(video),
      table_(std::move(table)),
      tag_(tag),
      decompressor_(dictionary),
      cache_bytes_(cache_bytes),
      cache_(nullptr) {
    const std::size_t rows = table_.frames.size();
    if (table_.first_chunks.size() != rows || table_.counts.size() != rows || table_.runs.size() != rows ||
        table_.bare.size() != rows)
        throw Error(ErrorCode::config, "the columns of the page table are not of one length");
    const auto frames = static_cast<std::int64_t>(video.frame_count());
    std::int64_t next_chunk = 0;
    for (std::size_t row = 0; row < rows; ++row) {
        if (table_.frames[row] < 0 || table_.runs[row] < 1 || table_.runs[row] > frames - table_.frames[row])
            throw Error(ErrorCode::config, "a page lies outside of the video");
        if (table_.bare[row] != 0 && (table_.counts[row] != 1 || table_.runs[row] != 1))
            throw Error(ErrorCode::config, "a bare text is one chunk in one frame");
        const std::int64_t first = table_.first_chunks[row], count = table_.counts[row];
        if (first < next_chunk || first > std::numeric_limits<std::int64_t>::max() - count)
            throw Error(ErrorCode::config, "the chunk ids of the page table are not ascending");
        next_chunk = first + count;
    }
    cache_ = new ProcessCache(cache_bytes);
}

ChunkReader::~ChunkReader() {
    const ProcessCache* cache = cache_.load();
    if (cache->process == ::getpid()) delete cache;
}

PageCache& ChunkReader::cache() const {
    ProcessCache* current = cache_.load(std::memory_order_acquire);
    if (current->process == ::getpid()) return current->pages;
    auto own = std::make_unique<ProcessCache>(cache_bytes_);
    if (cache_.compare_exchange_strong(current, own.get(), std::memory_order_acq_rel)) current = own.release();
    return current->pages;
}

std::optional<std::size_t> ChunkReader::row_of(std::int64_t id) const {
    const auto& starts = table_.first_chunks;
    const auto after = std::upper_bound(starts.begin(), starts.end(), id);
    if (after == starts.begin()) return std::nullopt;
    const auto row = static_cast<std::size_t>(after - starts.begin() - 1);
    if (id - starts[row] >= table_.counts[row]) return std::nullopt;
    return row;
}

bool ChunkReader::belongs(const PageHeader& header, std::size_t frame) const {
    return header.tag == tag_ && header.page_number == frame;
}

// The stored bodies of a page's frames, joined; nothing where they do not fit together. The frames are let go.
std::optional<ChunkReader::Stored> ChunkReader::join(std::size_t row, std::span<FrameResult> frames) const {
    for (const auto& frame : frames)
        if (frame.status != FrameStatus::ok) return std::nullopt;
    Stored stored;
    if (table_.bare[row] != 0) {
        if (frames.size() != 1 || is_page(frames[0].payload)) return std::nullopt;
        stored.bytes = std::move(frames[0].payload);
        stored.bare = true;
        stored.unpacked = stored.bytes.size();
        return stored;
    }
    const auto first_frame = static_cast<std::size_t>(table_.frames[row]);
    std::uint8_t flags = 0;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        const ByteView payload = frames[i].payload;
        const auto header = parse_page_header(payload);
        if (!header || !belongs(*header, first_frame + i)) return std::nullopt;
        if (i == 0) flags = header->flags;
        const auto kind = i == 0 ? PageKind::data : PageKind::continuation;
        const auto count = i == 0 ? table_.counts[row] : 0;
        if (header->kind != kind || header->count != count || header->flags != flags ||
            header->first_chunk != static_cast<std::uint64_t>(table_.first_chunks[row]))
            return std::nullopt;
        const bool run = (flags & page_flag::run) != 0;
        if (run != (frames.size() > 1)) return std::nullopt;
        if (run) {
            const auto part = parse_run_part(*header, payload);
            if (!part || part->part != i || part->parts != frames.size()) return std::nullopt;
        }
        const ByteView body = payload.subspan(page_header_bytes + (run ? run_head_bytes : 0));
        stored.bytes.insert(stored.bytes.end(), body.begin(), body.end());
        frames[i].payload = Bytes();
    }
    stored.zstd = (flags & page_flag::zstd) != 0;
    stored.dictionary = (flags & page_flag::dictionary) != 0;
    if (stored.dictionary && !stored.zstd) return std::nullopt;
    const auto size = stored.zstd ? Decompressor::stated_size(stored.bytes) : std::optional(stored.bytes.size());
    if (!size) return std::nullopt;
    stored.unpacked = *size;
    return stored;
}

std::shared_ptr<const RecordPage> ChunkReader::open_page(std::size_t row, Stored stored) const {
    if (stored.bare) return std::make_shared<const RecordPage>(RecordPage::bare(std::move(stored.bytes)));
    auto body = stored.zstd ? decompressor_.decompress(stored.bytes, stored.dictionary) : std::move(stored.bytes);
    auto page = body ? RecordPage::open(std::move(*body), table_.counts[row]) : std::nullopt;
    return page ? std::make_shared<const RecordPage>(std::move(*page)) : nullptr;
}

ChunkBatch ChunkReader::read(std::span<const std::int64_t> ids, const ReadLimits& limits, const Poll& poll) const {
    std::vector<std::int64_t> distinct(ids.begin(), ids.end());
    std::sort(distinct.begin(), distinct.end());  // in the order they lie in the file
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    Reading reading(std::move(distinct), limits);

    PageCache& pages = cache();
    std::vector<std::size_t> frames;
    std::vector<std::size_t> read_of_frame;
    std::deque<PageRead> reads;
    for (std::size_t begin = 0, end; begin < reading.ids.size(); begin = end) {
        end = begin + 1;
        const auto row = row_of(reading.ids[begin]);
        if (!row) continue;
        const std::int64_t behind = table_.first_chunks[*row] + table_.counts[*row];
        while (end < reading.ids.size() && reading.ids[end] < behind) ++end;
        for (std::size_t i = begin; i < end; ++i) reading.chunks[i].frame = table_.frames[*row];
        PageRead& read = reads.emplace_back(*row, begin, end);
        if (const auto known = pages.get(*row)) {
            reading.take(read, table_.first_chunks[*row], *known);
            reads.pop_back();
            continue;
        }
        read.first = frames.size();
        read.count = static_cast<std::size_t>(table_.runs[*row]);
        read.missing = read.count;
        for (std::size_t k = 0; k < read.count; ++k) {
            frames.push_back(static_cast<std::size_t>(table_.frames[*row]) + k);
            read_of_frame.push_back(reads.size() - 1);
        }
    }
    std::vector<FrameResult> results(frames.size());
    video_.read_each(
        frames, Decoder::automatic,
        [&](std::size_t i, FrameResult result) {
            results[i] = std::move(result);
            PageRead& read = reads[read_of_frame[i]];
            if (read.missing.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
            // The thread that brought the last of its frames opens the page.
            auto stored = join(read.row, std::span(results).subspan(read.first, read.count));
            if (!stored) return;
            reading.unpack(stored->unpacked);
            std::unique_lock lock(reading.large_page, std::defer_lock);
            if (stored->unpacked > large_page_bytes) lock.lock();
            const auto page = open_page(read.row, std::move(*stored));
            if (!page) return;
            reading.take(read, table_.first_chunks[read.row], *page);
            pages.put(read.row, page);
        },
        poll);
    ChunkBatch batch{{}, std::vector<std::size_t>(ids.size())};
    for (std::size_t i = 0; i < ids.size(); ++i)
        batch.slots[i] = static_cast<std::size_t>(
            std::lower_bound(reading.ids.begin(), reading.ids.end(), ids[i]) - reading.ids.begin());
    batch.chunks = std::move(reading.chunks);
    return batch;
}

}  // namespace memvid
