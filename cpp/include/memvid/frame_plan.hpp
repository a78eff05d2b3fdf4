// Which frames to read for a list of requests: each once, in the order they lie in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace memvid {

struct FramePlan {
    std::vector<std::size_t> frames;  // distinct, ascending
    std::vector<std::size_t> slots;   // for each request, where in `frames` its frame is
};

// Throws Error(config) when an index is not in [0, frame_count).
FramePlan plan_frames(std::span<const std::int64_t> indices, std::size_t frame_count);

}  // namespace memvid
