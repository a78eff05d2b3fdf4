// The nearest nodes of which a row is allowed: by a walk of the graph, or by skimming all of them.
#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "memvid/hnsw_graph.hpp"

namespace memvid {

namespace {

// A walk through all nodes whose beam is full after some vectors is over after four times as many, if what is allowed lies
// everywhere: it keeps candidates, and looks for nearer ones, as one without a filter does.
constexpr std::size_t whole_walk = 4;
constexpr std::size_t skimmed_nodes = 16384;  // by one thread at a time
constexpr std::size_t gathered = 4;           // times as many as are wanted are gathered before the others go

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

bool is_nearer(const Hit& a, const Hit& b) { return a.score != b.score ? a.score > b.score : a.row < b.row; }

// Keeps the `most` nearest.
void keep_nearest(std::vector<Hit>& hits, std::size_t most) {
    if (hits.size() <= most) return;
    std::nth_element(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(most) - 1, hits.end(), is_nearer);
    hits.resize(most);
}

// Of some nodes from `begin` on those with a row in a set.
std::vector<std::uint32_t> nodes_in(const RowSet& set, std::size_t begin, std::size_t count, const NodeRows& rows) {
    std::vector<std::uint32_t> nodes;
    nodes.reserve(count);
    const auto first = static_cast<std::uint32_t>(begin);
    if (rows.has_copies()) {
        for (std::uint32_t node = first; node < begin + count; ++node)
            if (rows.any(node, set)) nodes.push_back(node);
    } else {
        RowSet{set.words, set.first + begin}.each(count, [&](std::uint32_t row) { nodes.push_back(first + row); });
    }
    return nodes;
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

const RowSigns& HnswGraph::signs() const {
    const std::lock_guard guard(signs_lock_);
    if (!signs_) {
        const std::size_t dim = coder_ ? coder_->size() : dim_;
        signs_ = std::make_unique<const RowSigns>(matrix(), row_bytes_, dim, scalar_, pool_);
    }
    return *signs_;
}

std::vector<std::uint32_t> HnswGraph::skim(const PreparedQuery& query, const RowSet& allowed, std::size_t most) const {
    const RowSigns& signs = this->signs();
    const RowSigns::Asked asked = signs.prepared(query);
    const std::size_t portions = (count_ + skimmed_nodes - 1) / skimmed_nodes;
    std::vector<std::vector<Hit>> parts(std::min(pool_.threads(), portions));
    std::atomic<std::size_t> next = 0;
    std::atomic<float> least = -std::numeric_limits<float>::infinity();  // of the `most` nearest of any part
    pool_.parallel_for(parts.size(), [&](std::size_t part) {
        std::vector<Hit> hits;
        std::vector<float> products;
        for (std::size_t portion; (portion = next++) < portions;) {
            const std::size_t begin = portion * skimmed_nodes;
            const auto nodes = nodes_in(allowed, begin, std::min(skimmed_nodes, count_ - begin), rows_);
            products.resize(nodes.size());
            signs.estimate(asked, nodes, products);
            for (std::size_t i = 0; i < nodes.size(); ++i) {
                if (products[i] < least.load(std::memory_order_relaxed)) continue;
                hits.push_back({nodes[i], products[i]});
                if (hits.size() < gathered * most) continue;
                keep_nearest(hits, most);
                const float last = hits.back().score;
                for (float known = least.load(); last > known && !least.compare_exchange_weak(known, last);) continue;
            }
        }
        parts[part] = std::move(hits);
    });
    std::vector<Hit> hits;
    for (const auto& part : parts) hits.insert(hits.end(), part.begin(), part.end());
    keep_nearest(hits, most);
    std::vector<std::uint32_t> nodes;
    for (const Hit& hit : hits) nodes.push_back(hit.row);
    std::sort(nodes.begin(), nodes.end());
    return nodes;
}

}  // namespace memvid
