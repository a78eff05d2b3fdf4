// The best candidates of a walk, best first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace memvid {

class Beam {
public:
    struct Candidate {
        float similarity;
        std::uint32_t node;
        bool expanded;  // its neighbours were looked at
    };

    explicit Beam(std::size_t width) : width(width) { candidates.reserve(width + 1); }

    // Whether one as near as this would be among the best.
    bool wants(float similarity) const {
        return candidates.size() < width || similarity > candidates.back().similarity;
    }

    // Where it was put; `width` when it is not among the best.
    std::size_t insert(float similarity, std::uint32_t node) {
        if (!wants(similarity)) return width;
        if (candidates.size() == width) candidates.pop_back();
        const auto place = std::upper_bound(candidates.begin(), candidates.end(), similarity,
                                            [](float value, const Candidate& c) { return value > c.similarity; });
        return static_cast<std::size_t>(candidates.insert(place, {similarity, node, false}) - candidates.begin());
    }

    std::size_t width;
    std::vector<Candidate> candidates;
};

}  // namespace memvid
