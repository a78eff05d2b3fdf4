#include "memvid/distinct_rows.hpp"

#include <bit>
#include <cmath>
#include <cstring>

#include "memvid/error.hpp"
#include "memvid/half_float.hpp"

namespace memvid {

namespace {

constexpr std::uint32_t none = UINT32_MAX;
constexpr std::size_t first_slots = 1024;

std::uint64_t mixed(std::uint64_t value) {
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93U;
    return (value ^ value >> 32) * 0xd6e8feb86659fd93U;
}

std::uint64_t hash_of(const std::uint8_t* bytes, std::size_t size) {
    std::uint64_t hash = size;
    for (; size >= 8; bytes += 8, size -= 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes, sizeof word);
        hash = std::rotl(hash, 27) ^ mixed(word + hash);
    }
    std::uint64_t rest = 0;
    std::memcpy(&rest, bytes, size);
    return mixed(hash ^ rest);
}

bool is_usable(const std::uint8_t* vector, Scalar scalar, std::size_t bytes) {
    if (scalar == Scalar::i8) return std::memchr(vector, 0x80, bytes) == nullptr;
    bool finite = true;
    for (std::size_t i = 0; i < bytes; i += scalar_bytes(scalar)) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, vector + i, scalar_bytes(scalar));
        finite &= scalar == Scalar::f16 ? (bits & 0x7c00U) != 0x7c00U : (bits & 0x7f800000U) != 0x7f800000U;
    }
    return finite;
}

}  // namespace

DistinctRows::DistinctRows(const RowProducts& products)
    : products_(products), vectors_(products.stride()), slots_(first_slots, Slot{0, none}) {}

bool DistinctRows::add(const std::uint8_t* vector) {
    if (!is_usable(vector, products_.scalar(), products_.row_bytes()))
        throw Error(ErrorCode::config, "a vector has a component that is no number, or is -128");
    if (rows() >= UINT32_MAX / 2) throw Error(ErrorCode::config, "no index has more than two billion vectors");
    if (2 * nodes() >= slots_.size()) make_room();
    const std::uint64_t hash = hash_of(vector, products_.row_bytes());
    Slot* slot = find(vector, hash);
    if (slot->node != none) {
        copies_.push_back({static_cast<std::uint32_t>(rows()), slot->node});
        return false;
    }
    const auto node = static_cast<std::uint32_t>(nodes());
    vectors_.grow_to(node + 1);
    std::memcpy(vectors_[node], vector, products_.row_bytes());
    const float norm = products_.dot(vectors_[node], vectors_[node]);
    inverse_norms_.push_back(norm > 0 ? 1 / std::sqrt(norm) : 0);
    *slot = {static_cast<std::uint32_t>(hash >> 32), node};
    return true;
}

// The slot of the node with this vector, or the free one it would get.
DistinctRows::Slot* DistinctRows::find(const std::uint8_t* vector, std::uint64_t hash) {
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
        Slot& slot = slots_[i];
        if (slot.node == none) return &slot;
        if (slot.tag == tag && std::memcmp(vectors_[slot.node], vector, products_.row_bytes()) == 0) return &slot;
    }
}

void DistinctRows::make_room() {
    slots_.assign(2 * slots_.size(), Slot{0, none});
    const std::size_t mask = slots_.size() - 1;
    for (std::uint32_t node = 0; node < nodes(); ++node) {
        const std::uint64_t hash = hash_of(vectors_[node], products_.row_bytes());
        std::size_t i = hash & mask;
        while (slots_[i].node != none) i = (i + 1) & mask;
        slots_[i] = {static_cast<std::uint32_t>(hash >> 32), node};
    }
}

}  // namespace memvid
