#include "memvid/chunk_reader.hpp"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <limits>

#include "memvid/error.hpp"

namespace memvid {

// A cache belongs to one process: after a fork its lock may be held, and its lists half changed, by a thread that the
// child does not have. The child gets a cache of its own and leaves the old one alone.
struct ChunkReader::ProcessCache {
    explicit ProcessCache(std::size_t capacity) : pages(capacity) {}

    const long process = ::getpid();
    PageCache pages;
};

// A page that is read: the `at`-th of those wanted. Its frames are `count` of the batch's, from `first` on.
struct ChunkReader::PageRead {
    PageRead(std::size_t at, std::size_t first, std::size_t count)
        : at(at), first(first), count(count), missing(count) {}

    const std::size_t at, first, count;
    std::atomic<std::size_t> missing;
    std::shared_ptr<const RecordPage> page;
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

// The stored bodies of a page's frames, joined; nothing where they do not fit together.
std::optional<Bytes> ChunkReader::join(std::size_t row, std::span<FrameResult> frames) const {
    const auto first_frame = static_cast<std::size_t>(table_.frames[row]);
    Bytes stored;
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
        stored.insert(stored.end(), body.begin(), body.end());
    }
    if ((flags & page_flag::zstd) != 0) return decompressor_.decompress(stored, (flags & page_flag::dictionary) != 0);
    if ((flags & page_flag::dictionary) != 0) return std::nullopt;
    return stored;
}

std::shared_ptr<const RecordPage> ChunkReader::open_page(std::size_t row, std::span<FrameResult> frames) const {
    for (const auto& frame : frames)
        if (frame.status != FrameStatus::ok) return nullptr;
    if (table_.bare[row] != 0) {
        if (frames.size() != 1 || is_page(frames[0].payload)) return nullptr;
        return std::make_shared<const RecordPage>(RecordPage::bare(std::move(frames[0].payload)));
    }
    auto body = join(row, frames);
    if (!body) return nullptr;
    auto page = RecordPage::open(std::move(*body), table_.counts[row]);
    return page ? std::make_shared<const RecordPage>(std::move(*page)) : nullptr;
}

std::vector<FoundChunk> ChunkReader::read(std::span<const std::int64_t> ids, const Poll& poll) const {
    std::vector<FoundChunk> found(ids.size());
    std::vector<std::size_t> rows(ids.size());
    std::vector<std::size_t> wanted;
    wanted.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto row = row_of(ids[i]);
        if (!row) continue;
        rows[i] = *row;
        found[i].slot = static_cast<std::size_t>(ids[i] - table_.first_chunks[*row]);
        found[i].frame = table_.frames[*row];
        wanted.push_back(*row);
    }
    std::sort(wanted.begin(), wanted.end());  // in the order they lie in the file
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());

    PageCache& pages = cache();
    std::vector<std::shared_ptr<const RecordPage>> opened(wanted.size());
    std::vector<std::size_t> frames;
    std::vector<std::size_t> read_of_frame;
    std::deque<PageRead> reads;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const std::size_t row = wanted[i];
        opened[i] = pages.get(row);
        if (opened[i]) continue;
        const auto count = static_cast<std::size_t>(table_.runs[row]);
        for (std::size_t k = 0; k < count; ++k) {
            frames.push_back(static_cast<std::size_t>(table_.frames[row]) + k);
            read_of_frame.push_back(reads.size());
        }
        reads.emplace_back(i, frames.size() - count, count);
    }
    std::vector<FrameResult> results(frames.size());
    video_.read_each(
        frames, Decoder::automatic,
        [&](std::size_t i, FrameResult result) {
            results[i] = std::move(result);
            PageRead& read = reads[read_of_frame[i]];
            if (read.missing.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
            // The thread that brought the last of its frames opens the page.
            read.page = open_page(wanted[read.at], std::span(results).subspan(read.first, read.count));
        },
        poll);
    for (const auto& read : reads) {
        opened[read.at] = read.page;
        if (read.page) pages.put(wanted[read.at], read.page);
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (found[i].frame < 0) continue;
        const auto at = std::lower_bound(wanted.begin(), wanted.end(), rows[i]);
        found[i].page = opened[static_cast<std::size_t>(at - wanted.begin())];
    }
    return found;
}

}  // namespace memvid
