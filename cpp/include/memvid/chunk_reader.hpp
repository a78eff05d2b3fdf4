// Chunks out of a video: from chunk id to frame to verified page to the bytes of text and metadata.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "memvid/decompressor.hpp"
#include "memvid/frame_source.hpp"
#include "memvid/page.hpp"
#include "memvid/page_cache.hpp"

namespace memvid {

// The frames in which chunks start, of one length each, ascending: rows of the page table.
struct DataFrames {
    std::vector<std::int64_t> frames;
    std::vector<std::int64_t> first_chunks;
    std::vector<std::uint16_t> counts;
    std::vector<std::int64_t> runs;  // frames of the page: 1, or more where it is continued
    std::vector<std::uint8_t> bare;  // 1 where the frame holds one bare text and no page
};

// One chunk. Not whole: it cannot be read and verified. Frame -1: there is no such chunk.
struct FoundChunk {
    std::int64_t frame = -1;
    bool whole = false;
    Bytes text;
    Bytes metadata;
};

// The chunks that were asked for, each once, in the order of their ids; `slots[i]` is where the i-th of the caller's is.
struct ChunkBatch {
    std::vector<FoundChunk> chunks;
    std::vector<std::size_t> slots;
};

// What one call may take, in bytes, whatever the video says.
struct ReadLimits {
    std::size_t unpacked = std::numeric_limits<std::size_t>::max();  // by all pages that have to be decompressed
    std::size_t answer = std::numeric_limits<std::size_t>::max();    // by metadata, and by texts as Python keeps them
};

// Safe to share between threads. It says that a page is bad, not what is wrong with it: the caller, who has words for
// it, reads such a page again by itself.
class ChunkReader {
public:
    // `video` must outlive this. Throws Error(config) for columns of different lengths, a page outside of the video and
    // ids that do not rise; Error(format) for a dictionary that is none.
    ChunkReader(const FrameSource& video, DataFrames table, std::uint32_t tag, std::optional<ByteView> dictionary,
                std::size_t cache_bytes);
    ~ChunkReader();
    ChunkReader(const ChunkReader&) = delete;
    ChunkReader& operator=(const ChunkReader&) = delete;

    // Each distinct page comes from the cache or is read once, in parallel; large ones are decompressed one by one.
    // Throws Error(limit) before it takes more than `limits`.
    ChunkBatch read(std::span<const std::int64_t> ids, const ReadLimits& limits, const Poll& poll) const;

    PageCacheStats cache_stats() const { return cache().stats(); }
    void clear_cache() const { cache().clear(); }

private:
    struct PageRead;
    struct ProcessCache;
    struct Stored;
    class Reading;

    std::optional<std::size_t> row_of(std::int64_t id) const;
    std::optional<Stored> join(std::size_t row, std::span<FrameResult> frames) const;
    std::shared_ptr<const RecordPage> open_page(std::size_t row, Stored stored) const;
    bool belongs(const PageHeader& header, std::size_t frame) const;
    PageCache& cache() const;

    const FrameSource& video_;
    const DataFrames table_;
    const std::uint32_t tag_;
    const Decompressor decompressor_;
    const std::size_t cache_bytes_;
    mutable std::atomic<ProcessCache*> cache_;  // owned
};

}  // namespace memvid
