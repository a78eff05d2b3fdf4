#include "memvid/frame_plan.hpp"

#include <algorithm>
#include <string>

#include "memvid/error.hpp"

namespace memvid {

FramePlan plan_frames(std::span<const std::int64_t> indices, std::size_t frame_count) {
    FramePlan plan;
    plan.frames.reserve(indices.size());
    for (const auto index : indices) {
        if (index < 0 || static_cast<std::uint64_t>(index) >= frame_count)
            throw Error(ErrorCode::config, "frame " + std::to_string(index) + " is not one of the " +
                                               std::to_string(frame_count) + " frames of the video");
        plan.frames.push_back(static_cast<std::size_t>(index));
    }
    std::sort(plan.frames.begin(), plan.frames.end());
    plan.frames.erase(std::unique(plan.frames.begin(), plan.frames.end()), plan.frames.end());
    plan.slots.reserve(indices.size());
    for (const auto index : indices) {
        const auto at = std::lower_bound(plan.frames.begin(), plan.frames.end(), static_cast<std::size_t>(index));
        plan.slots.push_back(static_cast<std::size_t>(at - plan.frames.begin()));
    }
    return plan;
}

}  // namespace memvid
