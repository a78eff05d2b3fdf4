#include "memvid/graph_links.hpp"

#include <bit>

#include "memvid/drawn.hpp"

namespace memvid {

void GraphLinks::grow_to(std::size_t nodes) {
    // One node in `connectivity` is on the next level, too; its lower power of two, that is.
    const int bits = std::max(static_cast<int>(std::bit_width(connectivity())) - 1, 1);
    base_.grow_to(nodes);
    for (std::size_t node = levels_.size(); node < nodes; ++node) {
        const int level = std::countr_zero(drawn(node)) / bits;
        levels_.push_back(static_cast<std::uint8_t>(level));
        first_upper_.push_back(static_cast<std::uint32_t>(upper_.size()));
        if (level > 0) upper_.grow_to(upper_.size() + static_cast<std::size_t>(level));
    }
}

}  // namespace memvid
