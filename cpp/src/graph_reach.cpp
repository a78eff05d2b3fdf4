#include <algorithm>
#include <vector>

#include "memvid/graph_file.hpp"
#include "memvid/graph_walk.hpp"

namespace memvid {

namespace {

class Reach {
public:
    Reach(const DistinctRows& rows, GraphLinks& links, std::size_t expansion)
        : links_(links), walk_(rows, links), expansion_(expansion), reached_(links.nodes()) {
        spread_from(links.entry());
    }

    bool has(std::uint32_t node) const { return reached_[node]; }

    // Makes a node reachable that is not, and with it all that it leads to.
    void link_to(std::uint32_t node) {
        const Link from = nearest_with_room(node);
        if (from.node != LinkLists::none)
            links_.lists(0).append(from.node, {from.similarity, node});
        else
            put_between(node);
        spread_from(node);
    }

private:
    void spread_from(std::uint32_t start) {
        reached_[start] = true;
        ahead_.push_back(start);
        while (!ahead_.empty()) {
            const std::uint32_t node = ahead_.back();
            ahead_.pop_back();
            for (const auto neighbour : links_.neighbours(node, 0)) {
                if (reached_[neighbour]) continue;
                reached_[neighbour] = true;
                ahead_.push_back(neighbour);
            }
        }
    }

    bool has_room(std::uint32_t node) const { return links_.neighbours(node, 0).size() < links_.room(0); }

    // Of the nodes that are reached and have room the nearest that a walk finds, or, where it finds none, the nearest
    // of all; `none` where there is none.
    Link nearest_with_room(std::uint32_t node) {
        Link start = walk_.link(node, links_.entry());
        for (std::size_t level = links_.top_level(); level > 0; --level) start = walk_.descend(node, start, level);
        for (const Link& found : walk_.search(node, start, 0, expansion_))
            if (reached_[found.node] && has_room(found.node)) return found;
        Link nearest{0, LinkLists::none};
        for (std::uint32_t other = 0; other < links_.nodes(); ++other) {
            if (!reached_[other] || !has_room(other)) continue;
            const Link found = walk_.link(node, other);
            if (nearest.node == LinkLists::none || is_nearer(found, nearest)) nearest = found;
        }
        return nearest;
    }

    // Where no node that is reached has room: the entry's last link leads to `node`, which leads on to where it led.
    void put_between(std::uint32_t node) {
        const std::uint32_t from = links_.entry();
        const std::uint32_t onwards = replace_last(from, node);
        const auto neighbours = links_.neighbours(node, 0);
        if (std::find(neighbours.begin(), neighbours.end(), onwards) != neighbours.end()) return;
        if (has_room(node))
            links_.lists(0).append(node, walk_.link(node, onwards));
        else
            replace_last(node, onwards);
    }

    // Returns what the last link of `node`, which has as many as there is room for, led to.
    std::uint32_t replace_last(std::uint32_t node, std::uint32_t target) {
        auto& lists = links_.lists(0);
        std::vector<Link> all;
        for (std::size_t i = 0; i < lists.room(); ++i) all.push_back(lists.link(node, i));
        const std::uint32_t before = all.back().node;
        all.back() = walk_.link(node, target);
        lists.replace(node, all);
        return before;
    }

    GraphLinks& links_;
    GraphWalk walk_;
    std::size_t expansion_;
    std::vector<bool> reached_;
    std::vector<std::uint32_t> ahead_;
};

}  // namespace

void make_reachable(const DistinctRows& rows, GraphLinks& links, std::size_t expansion, const Poll& poll) {
    Reach reach(rows, links, expansion);
    for (std::uint32_t node = 0; node < links.nodes(); ++node) {
        if (reach.has(node)) continue;
        if (poll) poll();
        reach.link_to(node);
    }
}

}  // namespace memvid
