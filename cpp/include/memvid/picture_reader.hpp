// Frames whose pictures someone else decodes: another codec's. Read like those of our own files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "memvid/detection_budget.hpp"
#include "memvid/frame_source.hpp"
#include "memvid/grey_symbol.hpp"
#include "memvid/symbol_reader.hpp"

namespace memvid {

// One byte a pixel, row by row; no pixels stand for a frame that is not there.
struct GreyPicture {
    int width = 0;
    int height = 0;
    Bytes pixels;

    GreyImageView view() const { return {pixels.data(), width, height, static_cast<std::size_t>(width)}; }
};

// Safe to share between threads if what fetches the pictures is.
class PictureReader : public FrameSource {
public:
    // The pictures of these frames, in their order; called by the thread that reads, `batch` at a time.
    using Fetch = std::function<std::vector<GreyPicture>(std::span<const std::size_t>)>;

    // `budget`: what the full detector may do in vain, here and in whatever else it is shared with.
    PictureReader(Fetch fetch, std::size_t frames, std::size_t threads, std::shared_ptr<DetectionBudget> budget,
                  std::size_t batch = 32);
    ~PictureReader() override;

    std::size_t frame_count() const override { return frames_; }
    void read_each(std::span<const std::size_t> frames, Decoder decoder, const Take& take,
                   const Poll& poll) const override;

private:
    // Where the symbol is in pictures of one size, and how to walk it.
    struct Place {
        GreyGeometry geometry;
        int width;
        int height;
        SymbolReader reader;
    };

    FrameResult decode(const GreyPicture& picture, std::size_t frame, Decoder decoder) const;
    static std::unique_ptr<const Place> locate(const GreyPicture& picture);

    const Fetch fetch_;
    const std::size_t frames_;
    const std::size_t batch_;
    const std::shared_ptr<DetectionBudget> budget_;
    mutable VainFrames vain_;
    mutable ThreadPool pool_;
    // Owned; set once, by the first picture that it read right. Without a lock, which a fork could leave locked.
    mutable std::atomic<const Place*> place_{nullptr};
};

}  // namespace memvid
