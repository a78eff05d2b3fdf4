// Records of one size that stay where they are while more are added: memory grows by blocks, and nothing is copied.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace memvid {

// A record begins on a border of 64 bytes if its size is a multiple of that.
class StableArray {
public:
    explicit StableArray(std::size_t record_bytes)
        : record_bytes_(record_bytes),
          shift_(static_cast<unsigned>(std::bit_width(std::max<std::size_t>(block_bytes / record_bytes, 1))) - 1),
          mask_((std::size_t{1} << shift_) - 1) {}

    std::size_t size() const { return size_; }

    // More records, all zeros.
    void grow_to(std::size_t size) {
        for (; size_ < size; size_ = std::min(size, blocks_.size() << shift_)) {
            if (size_ == blocks_.size() << shift_) blocks_.push_back(make_block());
            const std::size_t end = std::min(size, blocks_.size() << shift_);
            std::memset((*this)[size_], 0, (end - size_) * record_bytes_);
        }
    }

    std::uint8_t* operator[](std::size_t i) const { return blocks_[i >> shift_].get() + (i & mask_) * record_bytes_; }

private:
    static constexpr std::size_t block_bytes = std::size_t{1} << 23;  // at most, but for a record that is larger
    static constexpr std::size_t huge_page_bytes = std::size_t{1} << 21;

    struct Free {
        void operator()(std::uint8_t* block) const { std::free(block); }
    };
    using Block = std::unique_ptr<std::uint8_t[], Free>;

    Block make_block() const {
        const std::size_t bytes = ((record_bytes_ << shift_) + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
        Block block(static_cast<std::uint8_t*>(std::aligned_alloc(huge_page_bytes, bytes)));
        if (!block) throw std::bad_alloc();
#ifdef __linux__
        // Records are read in any order: with pages of 4 kB, looking the pages up takes as long as reading them. The
        // first block stays as small as what is in it.
        if (!blocks_.empty()) ::madvise(block.get(), bytes, MADV_HUGEPAGE);
#endif
        return block;
    }

    std::size_t record_bytes_, size_ = 0;
    unsigned shift_;
    std::size_t mask_;
    std::vector<Block> blocks_;
};

}  // namespace memvid
