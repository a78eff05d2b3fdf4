// Who is linked to whom in a file of vectors, and on which levels: read as it is mapped, each number checked when it is
// used. It lies there in one of two ways.
//
// usearch: for each node u64 key, i16 level, and for each level u32 how many, and room for so many u32. Packed: for each
// node u8 level and u8 links on level 0; for each level above 0 of each node u8 links; and all links one after the other,
// those of level 0 first, in as many bits each as the last node's number has.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "memvid/bytes.hpp"

namespace memvid {

class NodeLinks {
public:
    // The neighbours of a node on a level.
    struct List {
        const std::uint8_t* at;
        std::uint32_t bit;  // of the first
        std::uint32_t size;
    };
    struct Shape {
        std::size_t nodes, base_room, upper_room, top_level;
        std::uint32_t entry;
    };
    struct PackedCounts {
        std::uint64_t upper_lists, base_links, upper_links;
    };

    static constexpr std::size_t most_packed_links = 255;  // of a node on a level
    // Behind packed links, so that eight bytes can be read where the last one begins.
    static constexpr std::size_t packed_padding = 8;

    // None at all.
    NodeLinks() = default;
    // `levels` are i16 each. Both throw Error(format) where sizes, levels or counts do not fit each other. They cost a
    // pass over 2 bytes a node, and keep 4; 8 of packed ones.
    static NodeLinks usearch(const Shape& shape, ByteView levels, ByteView nodes);
    static NodeLinks packed(const Shape& shape, const PackedCounts& counts, ByteView section);

    static std::size_t link_bits(std::size_t nodes);
    // Of a packed section; UINT64_MAX if it would be too long.
    static std::uint64_t packed_bytes(std::size_t nodes, const PackedCounts& counts);

    bool any() const { return shape_.nodes > 0; }
    std::size_t room() const { return shape_.base_room; }
    std::size_t top_level() const { return shape_.top_level; }
    std::uint32_t entry() const { return shape_.entry; }
    std::size_t level_of(std::uint32_t node) const { return levels_before_[node + 1] - levels_before_[node]; }
    // Bytes of a usearch file that its nodes take.
    std::uint64_t usearch_bytes() const;

    // Of a level that the node has. Throws Error(format) for more than there is room.
    List list(std::uint32_t node, std::size_t level) const;

    // Throws Error(format) for one that does not exist.
    std::uint32_t neighbour(const List& list, std::size_t i) const {
        std::uint32_t node;
        if (!is_packed_) {
            std::memcpy(&node, list.at + sizeof node * i, sizeof node);
        } else {
            const std::size_t bit = list.bit + i * bits_;
            std::uint64_t word;
            std::memcpy(&word, list.at + bit / 8, sizeof word);
            node = static_cast<std::uint32_t>(word >> (bit % 8) & mask_);
        }
        if (node >= shape_.nodes) no_such_neighbour();
        return node;
    }

    // What `prefetch` needs.
    void prefetch_place(std::uint32_t node) const {
        __builtin_prefetch(&levels_before_[node]);
        if (is_packed_) __builtin_prefetch(&base_before_[node]);
    }
    // The links of level 0.
    void prefetch(std::uint32_t node) const;

    // Throws Error(format) where a link leads to no node, or to one that is not on its level.
    void check() const;

private:
    [[noreturn]] static void no_such_neighbour();
    const std::uint8_t* usearch_node(std::uint32_t node) const;
    List packed_list(std::uint64_t first, std::uint32_t size) const;

    Shape shape_{};
    bool is_packed_ = false;
    const std::uint8_t* at_ = nullptr;          // the nodes of a usearch file, or packed links
    std::vector<std::uint32_t> levels_before_;  // for each node and the end: the levels above 0 in front of it
    // Packed: for each node, for each list above level 0, and their ends: the links in front of it.
    std::vector<std::uint32_t> base_before_, upper_before_;
    std::size_t bits_ = 0;
    std::uint64_t mask_ = 0;
};

}  // namespace memvid
