// A rotation of vectors that spreads what is in any component over all of them: then a few bits a component say most of
// a vector, whatever its components meant. The same on every machine.
//
// Three times signs are flipped and components shuffled, both by lot, and each 64 of them go through a Walsh-Hadamard
// transform. Nothing but additions and subtractions: whole numbers stay whole and exact, and grow by `growth`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace memvid {

class Rotation {
public:
    static constexpr std::size_t block = 64;
    static constexpr int growth = 512;  // times as long as before: the root of 64, three times

    explicit Rotation(std::size_t dim);

    std::size_t dim() const { return dim_; }
    // Components afterwards: `dim`, up to a multiple of 64.
    std::size_t size() const { return size_; }

    // `in` has `dim` components, `out` gets `size`. Whole numbers need room for 512 times the length of the vector.
    void turn(std::span<const std::int16_t> in, std::span<std::int32_t> out) const;
    void turn(std::span<const float> in, std::span<float> out) const;
    // The other way: `in` has `size` components, `out` gets `dim`.
    void turn_back(std::span<const std::int8_t> in, std::span<std::int32_t> out) const;

private:
    struct Round {
        std::vector<std::uint32_t> from;  // where each component comes from
        std::vector<std::int8_t> signs;
    };

    template <typename In, typename T>
    void turn_as(std::span<const In> in, std::span<T> out) const;

    std::size_t dim_, size_;
    std::vector<Round> rounds_;
};

}  // namespace memvid
