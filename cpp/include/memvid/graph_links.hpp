// Who is linked to whom in a graph that is being built, on which levels, and how similar they are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memvid/stable_array.hpp"

namespace memvid {

struct Link {
    float similarity;
    std::uint32_t node;
};

// Nearest first, equal ones by their numbers: an order that nothing but vectors decides.
inline bool is_nearer(const Link& a, const Link& b) {
    return a.similarity != b.similarity ? a.similarity > b.similarity : a.node < b.node;
}

// Lists of up to `room` links. The nodes lie together, since a walk reads only those.
class LinkLists {
public:
    static constexpr std::uint32_t none = UINT32_MAX;

    explicit LinkLists(std::size_t room) : room_(room), nodes_(4 * room), similarities_(4 * room) {}

    std::size_t room() const { return room_; }
    std::size_t size() const { return nodes_.size(); }

    // More lists, all empty.
    void grow_to(std::size_t size) {
        const std::size_t before = nodes_.size();
        nodes_.grow_to(size);
        similarities_.grow_to(size);
        for (std::size_t i = before; i < size; ++i) std::fill_n(slots(i), room_, none);
    }

    std::span<const std::uint32_t> nodes(std::size_t list) const {
        const std::uint32_t* slots = this->slots(list);
        std::size_t used = room_;
        while (used > 0 && slots[used - 1] == none) --used;
        return {slots, used};
    }

    Link link(std::size_t list, std::size_t i) const { return {similarities(list)[i], slots(list)[i]}; }

    void append(std::size_t list, const Link& link) {
        const std::size_t used = nodes(list).size();
        slots(list)[used] = link.node;
        similarities(list)[used] = link.similarity;
    }

    void replace(std::size_t list, std::span<const Link> links) {
        for (std::size_t i = 0; i < room_; ++i) {
            slots(list)[i] = i < links.size() ? links[i].node : none;
            if (i < links.size()) similarities(list)[i] = links[i].similarity;
        }
    }

    void prefetch(std::size_t list) const {
        const std::uint8_t* at = nodes_[list];
        for (std::size_t i = 0; i < 4 * room_; i += 64) __builtin_prefetch(at + i);
    }

private:
    std::uint32_t* slots(std::size_t list) const { return reinterpret_cast<std::uint32_t*>(nodes_[list]); }
    float* similarities(std::size_t list) const { return reinterpret_cast<float*>(similarities_[list]); }

    std::size_t room_;
    StableArray nodes_, similarities_;
};

// The links of all nodes. Levels are those of the numbers of nodes, so that nothing but the order of vectors decides.
class GraphLinks {
public:
    explicit GraphLinks(std::size_t connectivity) : base_(2 * connectivity), upper_(connectivity) {}

    std::size_t nodes() const { return levels_.size(); }
    std::size_t connectivity() const { return upper_.room(); }
    std::size_t room(std::size_t level) const { return level == 0 ? base_.room() : upper_.room(); }

    // More nodes, without links.
    void grow_to(std::size_t nodes);

    // Where walks begin: the first node of the highest level, of those that are entered so far.
    std::uint32_t entry() const { return entry_; }
    std::size_t top_level() const { return level(entry_); }
    void enter(std::uint32_t node) {
        if (level(node) > top_level()) entry_ = node;
    }

    std::size_t level(std::uint32_t node) const { return levels_[node]; }
    std::span<const std::uint32_t> neighbours(std::uint32_t node, std::size_t level) const {
        return level == 0 ? base_.nodes(node) : upper_.nodes(upper_list(node, level));
    }
    // Both of a level that the node has.
    LinkLists& lists(std::size_t level) { return level == 0 ? base_ : upper_; }
    const LinkLists& lists(std::size_t level) const { return level == 0 ? base_ : upper_; }
    std::size_t list(std::uint32_t node, std::size_t level) const {
        return level == 0 ? node : upper_list(node, level);
    }

private:
    std::size_t upper_list(std::uint32_t node, std::size_t level) const { return first_upper_[node] + level - 1; }

    LinkLists base_, upper_;
    std::vector<std::uint8_t> levels_;
    std::uint32_t entry_ = 0;
    std::vector<std::uint32_t> first_upper_;  // the list of a node's level 1, if it has that level
};

}  // namespace memvid
