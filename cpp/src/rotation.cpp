#include "memvid/rotation.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "memvid/drawn.hpp"

namespace memvid {

namespace {

constexpr std::size_t rounds = 3;

template <typename T>
void transform_block(T* values) {
    for (std::size_t half = 1; half < Rotation::block; half *= 2)
        for (std::size_t pair = 0; pair < Rotation::block; pair += 2 * half)
            for (std::size_t i = pair; i < pair + half; ++i) {
                const T a = values[i], b = values[i + half];
                values[i] = a + b;
                values[i + half] = a - b;
            }
}

template <typename T>
void transform(std::span<T> values) {
    for (std::size_t i = 0; i < values.size(); i += Rotation::block) transform_block(values.data() + i);
}

}  // namespace

Rotation::Rotation(std::size_t dim) : dim_(dim), size_((dim + block - 1) / block * block), rounds_(rounds) {
    std::uint64_t lot = size_ << 32;
    for (Round& round : rounds_) {
        round.from.resize(size_);
        std::iota(round.from.begin(), round.from.end(), 0);
        for (std::size_t i = size_ - 1; i > 0; --i) std::swap(round.from[i], round.from[drawn(lot++) % (i + 1)]);
        for (std::size_t i = 0; i < size_; ++i) round.signs.push_back((drawn(lot++) & 1) != 0 ? 1 : -1);
    }
}

template <typename In, typename T>
void Rotation::turn_as(std::span<const In> in, std::span<T> out) const {
    std::vector<T> before(size_);
    std::copy(in.begin(), in.end(), before.begin());
    for (const Round& round : rounds_) {
        for (std::size_t i = 0; i < size_; ++i) out[i] = before[round.from[i]] * static_cast<T>(round.signs[i]);
        transform(out);
        std::copy(out.begin(), out.end(), before.begin());
    }
}

void Rotation::turn(std::span<const std::int16_t> in, std::span<std::int32_t> out) const { turn_as(in, out); }

void Rotation::turn(std::span<const float> in, std::span<float> out) const { turn_as(in, out); }

void Rotation::turn_back(std::span<const std::int8_t> in, std::span<std::int32_t> out) const {
    std::vector<std::int32_t> turned(in.begin(), in.end()), before(size_);
    for (auto round = rounds_.rbegin(); round != rounds_.rend(); ++round) {
        transform(std::span(turned));
        for (std::size_t i = 0; i < size_; ++i) before[round->from[i]] = turned[i] * round->signs[i];
        turned.swap(before);
    }
    std::copy_n(turned.begin(), dim_, out.begin());
}

}  // namespace memvid
