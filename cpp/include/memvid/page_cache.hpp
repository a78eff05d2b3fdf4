// Decoded pages by number, least recently used dropped first, bounded by bytes.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "memvid/page.hpp"

namespace memvid {

struct PageCacheStats {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t pages = 0;
    std::uint64_t nbytes = 0;
};

// Safe to share between threads.
class PageCache {
public:
    explicit PageCache(std::size_t capacity_bytes) : capacity_(capacity_bytes) {}

    // Null when the page is not here.
    std::shared_ptr<const RecordPage> get(std::size_t number);
    void put(std::size_t number, std::shared_ptr<const RecordPage> page);
    void clear();
    PageCacheStats stats() const;

private:
    using Entry = std::pair<std::size_t, std::shared_ptr<const RecordPage>>;

    void drop(std::list<Entry>::iterator entry);

    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::list<Entry> entries_;  // most recently used first
    std::unordered_map<std::size_t, std::list<Entry>::iterator> by_number_;
    PageCacheStats stats_;
};

}  // namespace memvid
