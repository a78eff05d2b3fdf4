// Looks for the nodes nearest to one of them in a graph that is being built, and chooses which of them to link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memvid/distinct_rows.hpp"
#include "memvid/graph_links.hpp"
#include "memvid/seen_rows.hpp"

namespace memvid {

// Walks links that nobody changes meanwhile. One for each thread: it keeps what a walk needs.
class GraphWalk {
public:
    GraphWalk(const DistinctRows& rows, const GraphLinks& links) : rows_(rows), links_(links) {}

    Link link(std::uint32_t point, std::uint32_t node) const;

    // From `start`, which has the level, always to the neighbour nearest to `point`, until none is nearer.
    Link descend(std::uint32_t point, Link start, std::size_t level);

    // The `width` nodes nearest to `point` that a beam of as many finds on a level, nearest first; never `point`.
    std::span<const Link> search(std::uint32_t point, Link start, std::size_t level, std::size_t width);

    // Puts those of `nodes` among `candidates`, nearest first, that are nearer to `point` than the `width`-th of them.
    void add_nearer(std::uint32_t point, std::span<const std::uint32_t> nodes, std::size_t width,
                    std::vector<Link>& candidates);

    // Of candidates, nearest first, those to link: each that is less similar to all that were taken before than to
    // `point`, up to `most`; where fewer than `least` are, the nearest of the others as well.
    std::span<const Link> choose(std::span<const Link> candidates, std::size_t most, std::size_t least);

private:
    void compare(std::uint32_t point, std::span<const std::uint32_t> nodes);
    std::size_t put_in_beam(const Link& found, std::size_t width);
    bool is_apart(const Link& candidate);
    void prefetch(std::uint32_t node) const;

    const DistinctRows& rows_;
    const GraphLinks& links_;
    SeenRows seen_;
    std::vector<Link> beam_, chosen_, rejected_;
    std::vector<const std::uint8_t*> vectors_;
    std::vector<float> similarities_;
};

}  // namespace memvid
