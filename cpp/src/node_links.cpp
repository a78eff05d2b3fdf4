#include "memvid/node_links.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t node_head_bytes = 10;  // u64 key, i16 level
constexpr std::size_t link_bytes = 4;
constexpr std::size_t cache_line = 64;

[[noreturn]] void damaged(const char* what) {
    throw Error(ErrorCode::format, std::string("the vector index is damaged: ") + what);
}

template <typename T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// What is in front of each of some numbers, and of the end.
template <typename Number>
std::vector<std::uint32_t> sums_before(std::size_t count, const Number& number) {
    std::vector<std::uint32_t> sums;
    sums.reserve(count + 1);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
        sums.push_back(static_cast<std::uint32_t>(sum));
        sum += number(i);
        if (sum > UINT32_MAX) damaged("it has more links than it can");
    }
    sums.push_back(static_cast<std::uint32_t>(sum));
    return sums;
}

void prefetch_lines(const std::uint8_t* from, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes + cache_line - 1; at += cache_line) __builtin_prefetch(from + at);
}

}  // namespace

NodeLinks NodeLinks::usearch(const Shape& shape, ByteView levels, ByteView nodes) {
    NodeLinks links;
    links.shape_ = shape;
    links.at_ = nodes.data();
    links.levels_before_ = sums_before(shape.nodes, [&](std::size_t node) {
        const auto level = load<std::int16_t>(levels.data() + 2 * node);
        if (level < 0 || static_cast<std::size_t>(level) > shape.top_level) damaged("a level is impossible");
        return static_cast<std::size_t>(level);
    });
    if (links.level_of(shape.entry) != shape.top_level || nodes.size() < links.usearch_bytes())
        damaged("its size does not fit its header");
    return links;
}

NodeLinks NodeLinks::packed(const Shape& shape, const PackedCounts& counts, ByteView section) {
    if (section.size() != packed_bytes(shape.nodes, counts)) damaged("its size does not fit its header");
    NodeLinks links;
    links.shape_ = shape;
    links.is_packed_ = true;
    links.bits_ = link_bits(shape.nodes);
    links.mask_ = (std::uint64_t{1} << links.bits_) - 1;
    const std::uint8_t* levels = section.data();
    const std::uint8_t* base = levels + shape.nodes;
    const std::uint8_t* upper = base + shape.nodes;
    links.at_ = upper + counts.upper_lists;
    links.levels_before_ = sums_before(shape.nodes, [&](std::size_t node) {
        if (levels[node] > shape.top_level) damaged("a level is impossible");
        return levels[node];
    });
    const auto sizes_before = [](std::size_t count, const std::uint8_t* sizes, std::size_t room) {
        return sums_before(count, [&](std::size_t i) {
            if (sizes[i] > room) damaged("a node has more neighbours than room");
            return sizes[i];
        });
    };
    links.base_before_ = sizes_before(shape.nodes, base, shape.base_room);
    links.upper_before_ = sizes_before(counts.upper_lists, upper, shape.upper_room);
    if (links.level_of(shape.entry) != shape.top_level || links.levels_before_.back() != counts.upper_lists ||
        links.base_before_.back() != counts.base_links || links.upper_before_.back() != counts.upper_links)
        damaged("its levels do not fit its header");
    return links;
}

std::size_t NodeLinks::link_bits(std::size_t nodes) {
    return std::max<std::size_t>(static_cast<std::size_t>(std::bit_width(nodes - 1)), 1);
}

std::uint64_t NodeLinks::packed_bytes(std::size_t nodes, const PackedCounts& counts) {
    if (nodes > UINT32_MAX || counts.upper_lists > UINT32_MAX || counts.base_links > UINT32_MAX ||
        counts.upper_links > UINT32_MAX)
        return UINT64_MAX;
    const std::uint64_t bits = (counts.base_links + counts.upper_links) * link_bits(nodes);
    return 2 * nodes + counts.upper_lists + (bits + 7) / 8 + packed_padding;
}

std::uint64_t NodeLinks::usearch_bytes() const {
    return shape_.nodes * (node_head_bytes + link_bytes * (1 + shape_.base_room)) +
           std::uint64_t{levels_before_.back()} * link_bytes * (1 + shape_.upper_room);
}

const std::uint8_t* NodeLinks::usearch_node(std::uint32_t node) const {
    return at_ + node * (node_head_bytes + link_bytes * (1 + shape_.base_room)) +
           levels_before_[node] * link_bytes * (1 + shape_.upper_room);
}

NodeLinks::List NodeLinks::packed_list(std::uint64_t first, std::uint32_t size) const {
    const std::uint64_t bit = first * bits_;
    return {at_ + bit / 8, static_cast<std::uint32_t>(bit % 8), size};
}

NodeLinks::List NodeLinks::list(std::uint32_t node, std::size_t level) const {
    if (is_packed_) {
        if (level == 0) return packed_list(base_before_[node], base_before_[node + 1] - base_before_[node]);
        const std::size_t list = levels_before_[node] + level - 1;
        return packed_list(std::uint64_t{base_before_.back()} + upper_before_[list],
                           upper_before_[list + 1] - upper_before_[list]);
    }
    const std::uint8_t* list = usearch_node(node) + node_head_bytes;
    if (level > 0) list += link_bytes * (1 + shape_.base_room) + (level - 1) * link_bytes * (1 + shape_.upper_room);
    const auto used = load<std::uint32_t>(list);
    if (used > (level > 0 ? shape_.upper_room : shape_.base_room)) damaged("a node has more neighbours than room");
    return {list + link_bytes, 0, used};
}

void NodeLinks::prefetch(std::uint32_t node) const {
    if (!is_packed_) return prefetch_lines(usearch_node(node), node_head_bytes + link_bytes * (1 + shape_.base_room));
    const List links = list(node, 0);
    prefetch_lines(links.at, links.size * bits_ / 8);
}

void NodeLinks::check() const {
    for (std::uint32_t node = 0; node < shape_.nodes; ++node)
        for (std::size_t level = 0; level <= level_of(node); ++level) {
            const List links = list(node, level);
            for (std::size_t i = 0; i < links.size; ++i)
                if (level_of(neighbour(links, i)) < level) damaged("a neighbour is not on the level it is linked from");
        }
}

void NodeLinks::no_such_neighbour() { damaged("a neighbour does not exist"); }

}  // namespace memvid
