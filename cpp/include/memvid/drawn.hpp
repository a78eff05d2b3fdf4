// Numbers that look as if they were drawn by lot, and are the same everywhere.
#pragma once

#include <cstdint>

namespace memvid {

// splitmix64 of a number.
constexpr std::uint64_t drawn(std::uint64_t number) {
    number += 0x9e3779b97f4a7c15U;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9U;
    number = (number ^ number >> 27) * 0x94d049bb133111ebU;
    return number ^ number >> 31;
}

}  // namespace memvid
