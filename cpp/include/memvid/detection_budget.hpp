// How much a reader lets zxing-cpp's full detector look at in vain.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace memvid {

// Work of the detector, as `read_symbol` counts it, of which about 100 million are done in a second. Safe to share.
class DetectionBudget {
public:
    explicit DetectionBudget(std::int64_t work) : left_(work) {}
    // For frames in a file of ours: a second's work, and a tenth of one for each MB. A sound video needs it for no frame.
    static std::int64_t work_for(std::uint64_t file_bytes) {
        return 100'000'000 + 10 * static_cast<std::int64_t>(file_bytes);
    }

    bool is_spent() const { return left_.load(std::memory_order_relaxed) <= 0; }
    void spend(std::int64_t work) { left_.fetch_sub(work, std::memory_order_relaxed); }

private:
    std::atomic<std::int64_t> left_;
};

// Which frames the detector has looked at in vain: it is not asked about them again. Safe to share.
class VainFrames {
public:
    explicit VainFrames(std::size_t frames) : words_((frames + 63) / 64) {}

    bool has(std::size_t frame) const { return (words_[frame / 64].load(std::memory_order_relaxed) & bit(frame)) != 0; }
    void add(std::size_t frame) { words_[frame / 64].fetch_or(bit(frame), std::memory_order_relaxed); }

private:
    static std::uint64_t bit(std::size_t frame) { return std::uint64_t{1} << (frame % 64); }

    std::vector<std::atomic<std::uint64_t>> words_;
};

}  // namespace memvid
