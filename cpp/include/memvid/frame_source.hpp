// Where payloads come from, frame by frame, whatever the frames are: PNG pictures in a file of ours, or pictures that
// someone else decodes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/frame_plan.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

enum class FrameStatus : std::uint8_t {
    ok,
    cut_off,        // the file ends inside the frame
    not_a_picture,  // the frame is not a PNG of the video's size
    no_symbol,      // no QR code in the picture, or too much of it is damaged
    wrong,          // a QR code, but not this frame's page: the checksum is another
    missing,        // the video has no such frame any more
    unreadable,     // the disk refuses to read it: a bad sector
};

struct FrameResult {
    FrameStatus status = FrameStatus::ok;
    Bytes payload;
};

struct FrameBatch {
    FramePlan plan;
    std::vector<FrameResult> results;  // one for each of plan.frames
};

enum class Decoder : std::uint8_t {
    automatic,  // the frame's own bits; whatever is not perfect then goes to zxing-cpp
    corrected,  // zxing-cpp alone, errors corrected and counted on: what a build reads its frames back with
};

// How often what was done; for tests and for people, instead of clocks.
struct ReadCounters {
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
    std::uint64_t fast = 0;       // the frame's own bits were perfect
    std::uint64_t corrected = 0;  // zxing-cpp on a pure symbol
    std::uint64_t detected = 0;   // zxing-cpp's full detector
    std::uint64_t failed = 0;
};

// Safe to share between threads.
class FrameSource {
public:
    virtual ~FrameSource() = default;
    FrameSource(const FrameSource&) = delete;
    FrameSource& operator=(const FrameSource&) = delete;

    virtual std::size_t frame_count() const = 0;

    // The checksums of all frames, from the page table; from then on a frame must have its own.
    void expect(std::vector<std::uint32_t> checksums);

    // Distinct frames that exist, in their order: `take(i, result)` gets each, on whatever thread read it. What it
    // throws ends the batch. One bad frame is a status.
    using Take = std::function<void(std::size_t, FrameResult)>;
    virtual void read_each(std::span<const std::size_t> frames, Decoder decoder, const Take& take,
                           const Poll& poll) const = 0;

    // The same for any frames, each read once.
    FrameBatch read(std::span<const std::int64_t> indices, Decoder decoder, const Poll& poll) const;

    ReadCounters counters() const;

protected:
    FrameSource() = default;

    std::optional<std::uint32_t> expected(std::size_t index) const;
    void expect_nothing() { checksums_.clear(); }

    struct Tally {
        std::atomic<std::uint64_t> frames{0}, bytes{0}, fast{0}, corrected{0}, detected{0}, failed{0};
    };
    mutable Tally tally_;

private:
    std::vector<std::uint32_t> checksums_;
};

}  // namespace memvid
