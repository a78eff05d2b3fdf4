// Walks of a graph to the nearest nodes of which a row is allowed.
#include <algorithm>
#include <bit>
#include <utility>

#include "memvid/hnsw_graph.hpp"

namespace memvid {

namespace {

// Allowed nodes that a walk from one to the other begins at: it need not get from the query to where they lie.
constexpr std::size_t seeds = 512;
// A walk through all nodes whose beam is full after some vectors is over after four times as many, if what is allowed lies
// everywhere: it keeps candidates, and looks for nearer ones, as one without a filter does.
constexpr std::size_t whole_walk = 4;
// Nodes that are not allowed, beside those that are, which it goes through: others may be behind them.
constexpr std::size_t passed_through = 128;
// Allowed neighbours of a node with which it does without those that are two links away: looking for them is most of
// what such a walk costs.
constexpr std::size_t enough_links = 8;

// Nodes to go on from, the nearest first.
class Frontier {
public:
    bool empty() const { return heap_.empty(); }
    float nearest() const { return heap_.front().first; }
    void push(float similarity, std::uint32_t node) {
        heap_.emplace_back(similarity, node);
        std::push_heap(heap_.begin(), heap_.end());
    }
    std::uint32_t pop() {
        std::pop_heap(heap_.begin(), heap_.end());
        const std::uint32_t node = heap_.back().second;
        heap_.pop_back();
        return node;
    }

private:
    std::vector<std::pair<float, std::uint32_t>> heap_;
};

// At most `most` of the rows in a set, evenly spread over them.
std::vector<std::uint32_t> some_of(const RowSet& set, std::size_t rows, std::size_t most) {
    // The bits of each word that are rows, and the row of its lowest bit, which may be in front of row 0.
    const auto each_word = [&](auto take) {
        const std::size_t end = set.first + rows;
        for (std::size_t i = set.first / 64; i * 64 < end; ++i) {
            std::uint64_t bits = set.words[i];
            if (i * 64 < set.first) bits &= ~std::uint64_t{0} << (set.first - i * 64);
            if (end - i * 64 < 64) bits &= ~(~std::uint64_t{0} << (end - i * 64));
            take(bits, i * 64);
        }
    };
    std::size_t count = 0;
    each_word([&](std::uint64_t bits, std::size_t) { count += static_cast<std::size_t>(std::popcount(bits)); });
    const std::size_t step = std::max<std::size_t>(1, (count + most - 1) / most);
    std::vector<std::uint32_t> some;
    some.reserve(std::min(count, most));
    std::size_t skip = 0;
    each_word([&](std::uint64_t bits, std::size_t at) {
        const auto has = static_cast<std::size_t>(std::popcount(bits));
        if (skip >= has) {
            skip -= has;
            return;
        }
        for (; bits != 0; bits &= bits - 1) {
            if (skip-- > 0) continue;
            some.push_back(static_cast<std::uint32_t>(at + static_cast<std::size_t>(std::countr_zero(bits)) - set.first));
            skip = step - 1;
        }
    });
    return some;
}

}  // namespace

bool HnswGraph::walk_through(const PreparedQuery& query, std::uint32_t start, const Wanted& wanted, Beam& beam) const {
    SeenRows& seen = seen_rows();
    seen.begin(count_);
    std::vector<std::uint32_t> fresh = {start};
    Frontier ahead;
    std::size_t compared = 0;
    const auto take = [&](float near, std::uint32_t node) {
        ++compared;
        if (!beam.wants(near)) return;
        ahead.push(near, node);
        if (rows_.any(node, *wanted.allowed)) beam.insert(near, node);
        links_.prefetch(node);
    };
    seen.insert(start);
    compare(query, fresh, take);
    const auto is_patient = [&] {
        const bool full = beam.candidates.size() == beam.width;
        return compared / (full ? whole_walk : 1) <= wanted.through;
    };
    while (!ahead.empty() && beam.wants(ahead.nearest()) && is_patient()) {
        fresh.clear();
        add_unseen(ahead.pop(), seen, fresh);
        compare(query, fresh, take);
    }
    seen.end();
    return is_patient();
}

void HnswGraph::walk_between(const PreparedQuery& query, std::uint32_t start, const Wanted& wanted, Beam& beam) const {
    SeenRows& seen = seen_rows();
    seen.begin(count_);
    std::vector<std::uint32_t> fresh;
    Frontier ahead;
    const auto is_allowed = [&](std::uint32_t node) { return rows_.any(node, *wanted.allowed); };
    const auto add = [&](std::uint32_t node) {
        if (!seen.insert(node)) return;
        __builtin_prefetch(vector(node));
        fresh.push_back(node);
    };
    const auto take = [&](float near, std::uint32_t node) {
        if (!beam.wants(near)) return;
        ahead.push(near, node);
        if (is_allowed(node)) beam.insert(near, node);
    };
    add(start);
    for (const auto row : some_of(*wanted.allowed, rows_.rows(), seeds)) add(rows_.node(row));
    compare(query, fresh, take);
    std::size_t through = passed_through;
    while (!ahead.empty() && beam.wants(ahead.nearest())) {
        const std::uint32_t node = ahead.pop();
        const bool is_beside = node != start && !is_allowed(node);
        if (is_beside) {
            if (through == 0) continue;
            --through;
        }
        fresh.clear();
        const auto list = links_.list(node, 0);
        std::size_t allowed = 0;
        for (std::size_t i = 0; i < list.size; ++i) {
            const std::uint32_t near = links_.neighbour(list, i);
            if (!is_allowed(near)) continue;
            ++allowed;
            add(near);
        }
        if (allowed < enough_links) {
            for (std::size_t i = 0; i < list.size; ++i) links_.prefetch(links_.neighbour(list, i));
            for (std::size_t i = 0; i < list.size; ++i) {
                const std::uint32_t near = links_.neighbour(list, i);
                if (is_allowed(near) || !seen.insert(near)) continue;
                if (!is_beside && through > 0) fresh.push_back(near);
                const auto further = links_.list(near, 0);
                for (std::size_t j = 0; j < further.size; ++j)
                    if (const std::uint32_t far = links_.neighbour(further, j); is_allowed(far)) add(far);
            }
        }
        compare(query, fresh, take);
    }
    seen.end();
}

}  // namespace memvid
