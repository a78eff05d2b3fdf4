// Batches of frames out of a video: read, decoded in parallel, verified.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memvid/file.hpp"
#include "memvid/frame_plan.hpp"
#include "memvid/mp4.hpp"
#include "memvid/page_checksum.hpp"
#include "memvid/png_frame.hpp"
#include "memvid/qr_layout.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

enum class FrameStatus : std::uint8_t {
    ok,
    cut_off,        // the file ends inside the frame
    not_a_picture,  // the frame is not a PNG of the video's size
    no_symbol,      // no QR code in the picture, or too much of it is damaged
    wrong,          // a QR code, but not this frame's page: the checksum is another
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
class FrameReader {
public:
    // Throws Error(not_found | io | format | unsupported).
    FrameReader(const std::string& path, std::size_t threads);
    ~FrameReader();
    FrameReader(const FrameReader&) = delete;
    FrameReader& operator=(const FrameReader&) = delete;

    const Movie& movie() const { return movie_; }
    std::uint64_t file_size() const { return file_.size(); }

    // The checksums of all frames, from the page table; from then on a frame must have its own.
    void expect(std::vector<std::uint32_t> checksums);

    // One bad frame is a status in the batch. Throws Error(unsupported) when the codec is not PNG.
    FrameBatch read(std::span<const std::int64_t> indices, Decoder decoder, const Poll& poll) const;

    // The same for distinct frames that exist, in their order: `take(i, result)` gets each, on whatever thread read it.
    // What it throws ends the batch.
    using Take = std::function<void(std::size_t, FrameResult)>;
    void read_each(std::span<const std::size_t> frames, Decoder decoder, const Take& take, const Poll& poll) const;

    // The picture, one byte a pixel; empty when the frame is not a picture.
    Bytes read_pixels(std::size_t index) const;

    ReadCounters counters() const;

private:
    FrameResult read_frame(std::size_t index, Decoder decoder) const;
    FrameResult decode(const BitImageView& image, std::optional<std::uint32_t> expected, Decoder decoder) const;
    std::optional<Bytes> read_own_bits(const BitImageView& image, std::optional<std::uint32_t> expected) const;
    void require_png() const;

    InputFile file_;
    Movie movie_;
    std::vector<std::uint32_t> checksums_;
    mutable ThreadPool pool_;
    // Owned; set once, by the first frame that it read right. Without a lock, which a fork could leave locked.
    mutable std::atomic<const SymbolReader*> symbol_{nullptr};
    struct Tally {
        std::atomic<std::uint64_t> frames{0}, bytes{0}, fast{0}, corrected{0}, detected{0}, failed{0};
    };
    mutable Tally tally_;
};

}  // namespace memvid
