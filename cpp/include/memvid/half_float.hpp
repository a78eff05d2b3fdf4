// Numbers of 16 bits as IEEE 754 has them.
#pragma once

#include <bit>
#include <cstdint>

namespace memvid {

inline float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
    const std::uint32_t magnitude = half & 0x7fffU;
    // Shifted into place the exponent is 112 too small; for subnormal numbers the multiplication is exact too.
    const float scaled = std::bit_cast<float>(magnitude << 13) * std::bit_cast<float>(0x77800000U);
    const std::uint32_t bits =
        magnitude >= 0x7c00U ? 0x7f800000U | magnitude << 13 : std::bit_cast<std::uint32_t>(scaled);
    return std::bit_cast<float>(sign | bits);
}

}  // namespace memvid
