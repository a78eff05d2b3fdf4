// Batches of frames out of a video: read, decoded in parallel, verified.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memvid/detection_budget.hpp"
#include "memvid/file.hpp"
#include "memvid/frame_source.hpp"
#include "memvid/mp4.hpp"
#include "memvid/page_checksum.hpp"
#include "memvid/png_frame.hpp"
#include "memvid/symbol_reader.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

// Safe to share between threads.
class FrameReader : public FrameSource {
public:
    // Throws Error(not_found | io | format | unsupported).
    // `movie_offset`: by that `moov` box instead of the one that counts, to read back an append before it does.
    FrameReader(const std::string& path, std::size_t threads, std::optional<std::uint64_t> movie_offset = std::nullopt);
    ~FrameReader() override;

    const Movie& movie() const { return movie_; }
    std::uint64_t file_size() const { return file_.size(); }

    std::size_t frame_count() const override { return places_ ? places_->size() : movie_.samples.size(); }

    // From now on frame `i` is the sample `places[i]`, and -1 is one that the video does not have any more. No checksum is
    // expected of any. Call it before the reader is shared. Throws Error(config) for a sample there is none of.
    void place(std::vector<std::int64_t> places);

    // Throws Error(unsupported) when the codec is not PNG.
    void read_each(std::span<const std::size_t> frames, Decoder decoder, const Take& take,
                   const Poll& poll) const override;

    // The picture, one byte a pixel; empty when the frame is not a picture.
    Bytes read_pixels(std::size_t index) const;

private:
    std::optional<Sample> sample_of(std::size_t index) const;
    FrameResult read_frame(std::size_t index, Decoder decoder) const;
    FrameResult decode(const BitImageView& image, std::size_t index, Decoder decoder) const;
    std::optional<Bytes> read_own_bits(const BitImageView& image, std::optional<std::uint32_t> expected) const;
    void require_png() const;

    InputFile file_;
    Movie movie_;
    std::optional<std::vector<std::int64_t>> places_;  // nothing: each frame is the sample of its number
    mutable ThreadPool pool_;
    // Owned; set once, by the first frame that it read right. Without a lock, which a fork could leave locked.
    mutable std::atomic<const SymbolReader*> symbol_{nullptr};
    mutable DetectionBudget budget_;
    mutable VainFrames vain_;
};

}  // namespace memvid
