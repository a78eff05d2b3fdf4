// What ISO/IEC 18004 says about QR codes: how much fits into one, and where its bits stand.
#pragma once

#include <cstdint>
#include <vector>

namespace memvid {

enum class ErrorCorrection : std::uint8_t { L, M, Q, H };

constexpr int min_symbol_version = 1;
constexpr int max_symbol_version = 40;

// The four bits that open a segment.
enum SegmentMode : unsigned { mode_end = 0, mode_numeric = 1, mode_alphanumeric = 2, mode_bytes = 4, mode_eci = 7 };

// Bits of a segment's count of characters.
unsigned count_bits(unsigned mode, int version);

// Bytes that fit into one symbol as a single byte segment behind an ECI designator of `eci_bits` bits.
int byte_capacity(int version, ErrorCorrection level, int eci_bits);

// Codewords of a symbol that carry data, and all of them: the rest correct errors.
int data_codewords(int version, ErrorCorrection level);
int total_codewords(int version);

// The blocks that the data is cut into, each with as many codewords that correct its errors.
int block_count(int version, ErrorCorrection level);
int correction_per_block(int version, ErrorCorrection level);

// Which data codeword each of those drawn is. Blocks are drawn interleaved: the first codeword of every block, then the
// second of every block, ... Short blocks come first and lack the last one.
std::vector<std::uint16_t> interleaving(int version, ErrorCorrection level);

struct Module {
    std::uint8_t x;
    std::uint8_t y;
};

// The modules that carry codewords, in the order of their bits, and then those few that are left over.
std::vector<Module> data_modules(int version);

// The modules of finders, separators and timing, alignment patterns and version information that are black.
std::vector<Module> black_function_modules(int version);

// Whether a data mask turns a module over.
bool masked(int mask, int x, int y);

// The 15 bits that say level and mask; and the level that two of them say.
int format_word(ErrorCorrection level, int mask);
ErrorCorrection format_level(int level_bits);

}  // namespace memvid
