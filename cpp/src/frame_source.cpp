#include "memvid/frame_source.hpp"

#include <string>

#include "memvid/error.hpp"

namespace memvid {

void FrameSource::expect(std::vector<std::uint32_t> checksums) {
    if (checksums.size() != frame_count())
        throw Error(ErrorCode::config, "the page table has " + std::to_string(checksums.size()) +
                                           " frames, the video " + std::to_string(frame_count()));
    checksums_ = std::move(checksums);
}

std::optional<std::uint32_t> FrameSource::expected(std::size_t index) const {
    return checksums_.empty() ? std::nullopt : std::optional(checksums_[index]);
}

FrameBatch FrameSource::read(std::span<const std::int64_t> indices, Decoder decoder, const Poll& poll) const {
    FrameBatch batch{plan_frames(indices, frame_count()), {}};
    batch.results.resize(batch.plan.frames.size());
    read_each(
        batch.plan.frames, decoder, [&](std::size_t i, FrameResult result) { batch.results[i] = std::move(result); },
        poll);
    return batch;
}

ReadCounters FrameSource::counters() const {
    return {tally_.frames, tally_.bytes, tally_.fast, tally_.corrected, tally_.detected, tally_.failed};
}

}  // namespace memvid
