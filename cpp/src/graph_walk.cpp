#include "memvid/graph_walk.hpp"

#include <algorithm>

namespace memvid {

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t together = 4;   // vectors that are compared in one call
constexpr std::size_t lookahead = 8;  // vectors on their way from memory meanwhile

// In a beam: whether a candidate's neighbours were looked at.
constexpr std::uint32_t expanded = std::uint32_t{1} << 31;

}  // namespace

Link GraphWalk::link(std::uint32_t point, std::uint32_t node) const {
    const float dot = rows_.products().dot(rows_.row(point), rows_.row(node));
    return {rows_.similarity(dot, rows_.inverse_norm(point), node), node};
}

void GraphWalk::prefetch(std::uint32_t node) const {
    const std::uint8_t* row = rows_.row(node);
    for (std::size_t at = 0; at < rows_.products().stride(); at += cache_line) __builtin_prefetch(row + at);
}

// The similarities of a point with other nodes, into `similarities_`.
void GraphWalk::compare(std::uint32_t point, std::span<const std::uint32_t> nodes) {
    vectors_.resize(nodes.size());
    similarities_.resize(nodes.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) vectors_[i] = rows_.row(nodes[i]);
    rows_.products().dots(rows_.row(point), vectors_, similarities_.data());
    const float inverse_norm = rows_.inverse_norm(point);
    for (std::size_t i = 0; i < nodes.size(); ++i)
        similarities_[i] = rows_.similarity(similarities_[i], inverse_norm, nodes[i]);
}

Link GraphWalk::descend(std::uint32_t point, Link start, std::size_t level) {
    Link nearest = start;
    for (bool moved = true; moved;) {
        moved = false;
        const auto neighbours = links_.neighbours(nearest.node, level);
        compare(point, neighbours);
        for (std::size_t i = 0; i < neighbours.size(); ++i) {
            if (neighbours[i] == point || !(similarities_[i] > nearest.similarity)) continue;
            nearest = {similarities_[i], neighbours[i]};
            moved = true;
        }
    }
    return nearest;
}

std::span<const Link> GraphWalk::search(std::uint32_t point, Link start, std::size_t level, std::size_t width) {
    seen_.begin(links_.nodes());
    seen_.insert(point);
    seen_.insert(start.node);
    beam_.assign(1, start);
    // Everything in front of `next` is expanded.
    for (std::size_t next = 0; next < beam_.size();) {
        const std::uint32_t node = beam_[next].node;
        if ((node & expanded) != 0) {
            ++next;
            continue;
        }
        beam_[next].node |= expanded;
        const std::size_t before = seen_.rows().size();
        for (const auto neighbour : links_.neighbours(node, level)) seen_.insert(neighbour);
        const auto fresh = std::span(seen_.rows()).subspan(before);
        compare(point, fresh);
        for (std::size_t i = 0; i < fresh.size(); ++i)
            if (beam_.size() < width || similarities_[i] > beam_.back().similarity)
                next = std::min(next, put_in_beam({similarities_[i], fresh[i]}, width));
    }
    seen_.end();
    for (auto& candidate : beam_) candidate.node &= ~expanded;
    return beam_;
}

// Where it was put: it is nearer than the last, or there is room.
std::size_t GraphWalk::put_in_beam(const Link& found, std::size_t width) {
    links_.lists(0).prefetch(found.node);
    // The first that is less similar, by halves. No branch depends on what is compared: none could be foreseen.
    std::size_t place = 0;
    for (std::size_t size = beam_.size(); size > 0; size -= (size + 1) / 2) {
        const std::size_t half = (size + 1) / 2;
        place += beam_[place + half - 1].similarity >= found.similarity ? half : 0;
    }
    if (beam_.size() < width) beam_.push_back(found);
    std::copy_backward(beam_.begin() + static_cast<std::ptrdiff_t>(place), beam_.end() - 1, beam_.end());
    beam_[place] = found;
    return place;
}

void GraphWalk::add_nearer(std::uint32_t point, std::span<const std::uint32_t> nodes, std::size_t width,
                           std::vector<Link>& candidates) {
    compare(point, nodes);
    const auto found = static_cast<std::ptrdiff_t>(candidates.size());
    const bool full = candidates.size() >= width;
    const float least = full ? candidates[width - 1].similarity : 0;
    for (std::size_t i = 0; i < nodes.size(); ++i)
        if (!full || similarities_[i] > least) candidates.push_back({similarities_[i], nodes[i]});
    std::sort(candidates.begin() + found, candidates.end(), is_nearer);
    const auto nearer = [](const Link& a, const Link& b) { return a.similarity > b.similarity; };
    std::inplace_merge(candidates.begin(), candidates.begin() + found, candidates.end(), nearer);
    if (candidates.size() > width) candidates.resize(width);
}

std::span<const Link> GraphWalk::choose(std::span<const Link> candidates, std::size_t most, std::size_t least) {
    chosen_.clear();
    rejected_.clear();
    vectors_.clear();
    for (std::size_t i = 0; i < std::min(lookahead, candidates.size()); ++i) prefetch(candidates[i].node);
    for (std::size_t i = 0; i < candidates.size() && chosen_.size() < most; ++i) {
        if (i + lookahead < candidates.size()) prefetch(candidates[i + lookahead].node);
        if (is_apart(candidates[i])) {
            chosen_.push_back(candidates[i]);
            vectors_.push_back(rows_.row(candidates[i].node));
        } else if (rejected_.size() < least) {
            rejected_.push_back(candidates[i]);
        }
    }
    for (std::size_t i = 0; i < rejected_.size() && chosen_.size() < least; ++i) chosen_.push_back(rejected_[i]);
    return chosen_;
}

bool GraphWalk::is_apart(const Link& candidate) {
    const float inverse_norm = rows_.inverse_norm(candidate.node);
    for (std::size_t first = 0; first < vectors_.size(); first += together) {
        const std::size_t count = std::min(together, vectors_.size() - first);
        float dots[together];
        rows_.products().dots(rows_.row(candidate.node), {vectors_.data() + first, count}, dots);
        for (std::size_t i = 0; i < count; ++i)
            if (rows_.similarity(dots[i], inverse_norm, chosen_[first + i].node) >= candidate.similarity) return false;
    }
    return true;
}

}  // namespace memvid
