#include "memvid/page_cache.hpp"

namespace memvid {

namespace {

// What an entry costs besides its page: list node, map node, control block.
constexpr std::size_t entry_bytes = 128;

}  // namespace

std::shared_ptr<const RecordPage> PageCache::get(std::size_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = by_number_.find(number);
    if (found == by_number_.end()) {
        ++stats_.misses;
        return nullptr;
    }
    ++stats_.hits;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->second;
}

void PageCache::put(std::size_t number, std::shared_ptr<const RecordPage> page) {
    const std::size_t cost = page->nbytes() + entry_bytes;
    if (cost > capacity_) return;
    const std::lock_guard lock(mutex_);
    if (const auto found = by_number_.find(number); found != by_number_.end()) drop(found->second);
    entries_.emplace_front(number, std::move(page));
    by_number_[number] = entries_.begin();
    stats_.nbytes += cost;
    while (stats_.nbytes > capacity_) drop(std::prev(entries_.end()));
}

void PageCache::clear() {
    const std::lock_guard lock(mutex_);
    by_number_.clear();
    entries_.clear();
    stats_.nbytes = 0;
}

PageCacheStats PageCache::stats() const {
    const std::lock_guard lock(mutex_);
    PageCacheStats stats = stats_;
    stats.pages = entries_.size();
    return stats;
}

void PageCache::drop(std::list<Entry>::iterator entry) {
    stats_.nbytes -= entry->second->nbytes() + entry_bytes;
    by_number_.erase(entry->first);
    entries_.erase(entry);
}

}  // namespace memvid
