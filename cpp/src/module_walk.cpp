#include "memvid/module_walk.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "memvid/qr_layout.hpp"
#include "memvid/x86.hpp"

namespace memvid {

namespace {

// As much of it as there is room for.
void store_be64(std::span<std::uint8_t> out, std::uint64_t value) {
    std::uint8_t bytes[8];
    memvid::store_be64(bytes, value);
    std::copy_n(bytes, std::min<std::size_t>(8, out.size()), out.data());
}

}  // namespace

bool ModuleWalk::can_take_columns() {
#ifdef MEMVID_X86
    // AMD's family 17h has the instructions that spread and gather bits, and takes hundreds of cycles for one.
    static const bool can =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && !__builtin_cpu_is("amdfam17h");
    return can;
#else
    return false;
#endif
}

ModuleWalk::ModuleWalk(const SymbolGeometry& geometry, std::size_t stride, bool columns)
    : geometry_(geometry), stride_(stride) {
    const int side = geometry.side();
    const auto codewords = static_cast<std::size_t>(data_codewords(geometry.version, ErrorCorrection::L));
    auto modules = data_modules(geometry.version);
    modules.resize(codewords * 8);
    for (const auto [x, y] : modules) {
        if (!columns) {
            const auto row = static_cast<std::size_t>(y + geometry.top);
            const auto column = static_cast<std::size_t>(x + geometry.left);
            bit_positions_.push_back(static_cast<std::uint32_t>(row * stride * 8 + column));
            continue;
        }
        // Left of the vertical timing pattern, which is in none of them, strips begin at odd columns.
        const int right = x > 6 ? x + x % 2 : x + 1 - x % 2;
        if (strips_.empty() || strips_.back().right != right) strips_.push_back({right, y >= side / 2, {}});
        Strip& strip = strips_.back();
        const auto row = static_cast<std::size_t>(y), group = row / rows_a_group;
        const std::size_t place = strip.upward ? row % rows_a_group : rows_a_group - 1 - row % rows_a_group;
        strip.data[strip.upward ? groups_of(static_cast<std::size_t>(side)) - 1 - group : group] |=
            std::uint64_t{1} << (2 * place + (x == right ? 1 : 0));
    }
}

void ModuleWalk::read(const BitImageView& image, std::span<std::uint8_t> out) const {
#ifdef MEMVID_X86
    if (!strips_.empty()) return read_columns(image, out);
#endif
    read_modules(image, out);
}

void ModuleWalk::read_modules(const BitImageView& image, std::span<std::uint8_t> out) const {
    // One bit a byte first: the walk then loads instead of shifting.
    thread_local Bytes modules;
    // A row's stride may reach beyond the picture's memory where the last row ends.
    const std::size_t bytes =
        static_cast<std::size_t>(image.height - 1) * stride_ + (static_cast<std::size_t>(image.width) + 7) / 8;
    modules.resize(bytes * 8);
    std::uint8_t* const module = modules.data();  // looking a thread_local up costs more than a bit does
    static const auto spread = [] {
        std::array<std::array<std::uint8_t, 8>, 256> table{};
        for (unsigned value = 0; value < 256; ++value)
            for (unsigned bit = 0; bit < 8; ++bit)
                table[value][bit] = static_cast<std::uint8_t>(value >> (7 - bit) & 1);
        return table;
    }();
    for (std::size_t i = 0; i < bytes; ++i) std::memcpy(module + i * 8, spread[image.data[i]].data(), 8);
    const std::uint32_t* position = bit_positions_.data();
    for (auto& codeword : out) {
        codeword = static_cast<std::uint8_t>(module[position[0]] << 7 | module[position[1]] << 6 |
                                             module[position[2]] << 5 | module[position[3]] << 4 |
                                             module[position[4]] << 3 | module[position[5]] << 2 |
                                             module[position[6]] << 1 | module[position[7]]);
        position += 8;
    }
}

#ifdef MEMVID_X86

namespace {

// The bits at `place` from the left of 32 bytes: of the first byte the lowest.
__attribute__((target("avx2"))) inline std::uint32_t bits_at(int place, __m256i rows) {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_slli_epi16(rows, place)));
}

__attribute__((target("avx2"))) inline __m256i turned(__m256i rows) {
    const __m128i descending = _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(rows, _mm256_broadcastsi128_si256(descending)), 0x4e);
}

}  // namespace

// The picture turned into columns of bytes, of which one instruction takes a bit each of 32 rows; those of two columns
// are put side by side, and what is no data is left out. What is walked first is higher.
__attribute__((target("avx2,bmi2"))) void ModuleWalk::read_columns(const BitImageView& image,
                                                                   std::span<std::uint8_t> out) const {
    const auto side = static_cast<std::size_t>(geometry_.side());
    const auto first = static_cast<std::size_t>(geometry_.left) / 8;
    const std::size_t bytes = (static_cast<std::size_t>(geometry_.left) + side + 7) / 8 - first;
    alignas(32) std::uint8_t columns[most_bytes][most_rows];
    const std::uint8_t* row = image.data + static_cast<std::size_t>(geometry_.top) * stride_ + first;
    for (std::size_t y = 0; y < side; ++y, row += stride_)
        for (std::size_t i = 0; i < bytes; ++i) columns[i][y] = row[i];

    const std::size_t groups = groups_of(side);
    std::uint64_t waiting = 0;  // codewords that do not fill a word yet, the first one on top
    unsigned count = 0;         // their bits
    std::uint8_t *at = out.data(), *const end = at + out.size();
    for (const Strip& strip : strips_) {
        const int right = geometry_.left + strip.right, left = right - 1;
        const std::uint8_t* right_bytes = columns[static_cast<std::size_t>(right) / 8 - first];
        const std::uint8_t* left_bytes = columns[static_cast<std::size_t>(left) / 8 - first];
        for (std::size_t i = 0; i < groups; ++i) {
            const std::size_t from = (strip.upward ? groups - 1 - i : i) * rows_a_group;
            __m256i right_rows = _mm256_load_si256(reinterpret_cast<const __m256i*>(right_bytes + from));
            __m256i left_rows = _mm256_load_si256(reinterpret_cast<const __m256i*>(left_bytes + from));
            if (!strip.upward) {
                right_rows = turned(right_rows);
                left_rows = turned(left_rows);
            }
            const std::uint64_t pairs = _pdep_u64(bits_at(right % 8, right_rows), 0xaaaa'aaaa'aaaa'aaaa) |
                                        _pdep_u64(bits_at(left % 8, left_rows), 0x5555'5555'5555'5555);
            const std::uint64_t bits = _pext_u64(pairs, strip.data[i]);
            const auto more = static_cast<unsigned>(std::popcount(strip.data[i]));
            if (more == 0) continue;
            if (count + more < 64) {
                count += more;
                waiting |= bits << (64 - count);
                continue;
            }
            const unsigned behind = count + more - 64;  // bits of the next word
            store_be64(std::span<std::uint8_t>(at, end), waiting | bits >> behind);
            at += std::min<std::size_t>(8, static_cast<std::size_t>(end - at));
            if (at == end) return;
            count = behind;
            waiting = behind == 0 ? 0 : bits << (64 - behind);
        }
    }
    store_be64(std::span<std::uint8_t>(at, end), waiting);
}

#endif

}  // namespace memvid
