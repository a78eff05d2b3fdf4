// Sections of postings that fit their heads, made of any input.
#pragma once

#include <algorithm>
#include <string>

#include "fuzz.hpp"
#include "memvid/postings.hpp"

namespace memvid::fuzzing {

inline void put_varint(Bytes& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
    out.push_back(static_cast<std::uint8_t>(value));
}

constexpr std::size_t most_tried_rows = 1 << 14;  // of a section that says how many it has

inline Bytes some_lengths(std::size_t rows) {
    Bytes lengths(rows);
    for (std::size_t row = 0; row < rows; ++row) lengths[row] = static_cast<std::uint8_t>(row * row / 7);
    return lengths;
}

// Of full blocks and a tail; gaps are the input's. What else there is to say of them is mostly true.
inline Bytes list_of(Input& input, std::uint32_t count) {
    Bytes lasts, offsets, packed, tail;
    std::uint32_t row = 0;
    for (std::uint32_t block = 0; block < count / posting_block; ++block) {
        put(offsets, static_cast<std::uint32_t>(packed.size() / 16));
        const std::uint8_t choice = input.u8();
        const unsigned width = choice % (choice >= 0xf0 ? 40 : 4);
        const Bytes bits = copy_of(input.bytes(16 * width));
        packed.insert(packed.end(), bits.begin(), bits.end());
        packed.resize(packed.size() + 16 * width - bits.size());
        for (std::size_t i = 0; i < posting_block; ++i) {
            std::uint32_t gap = 0;
            for (unsigned bit = 0; bit < width && bit < 32; ++bit) {
                const std::size_t at = i * width + bit;
                gap |= static_cast<std::uint32_t>(at / 8 < bits.size() && (bits[at / 8] >> (at % 8) & 1) != 0) << bit;
            }
            row += gap + 1;
        }
        put(lasts, choice == 0xef ? input.u32() : row - 1);
    }
    if (!lasts.empty()) put(offsets, static_cast<std::uint32_t>(packed.size() / 16));
    for (std::uint32_t i = 0; i < count % posting_block; ++i) put_varint(tail, input.u8() % 200);
    Bytes result;
    for (const Bytes* part : {&lasts, &offsets, &packed, &tail})
        result.insert(result.end(), part->begin(), part->end());
    return result;
}

inline Bytes fitting_section(Input& input, std::uint32_t rows, std::uint32_t divisor) {
    Bytes postings, dictionary, blocks;
    const std::size_t terms = input.u8() % 40;
    std::string before;
    for (std::size_t i = 0; i < terms; ++i) {
        std::string term = before.substr(0, input.u8() % (before.size() + 1));
        const std::uint8_t next = input.u8();
        term += static_cast<char>(term.size() < before.size() ? std::max<int>(next, before[term.size()] + 1) : next);
        std::size_t shared = 0;
        if (i % terms_a_block == 0) {
            put(blocks, static_cast<std::uint64_t>(dictionary.size()));
            put(blocks, static_cast<std::uint64_t>(postings.size()));
        } else {
            while (shared < std::min(term.size(), before.size()) && term[shared] == before[shared]) ++shared;
        }
        const std::uint32_t count = 1 + input.u16() % rows;
        Bytes bytes;
        if (std::uint64_t{count} * divisor > rows) {
            bytes = copy_of(input.bytes((rows + 63) / 64 * 8));
            bytes.resize((rows + 63) / 64 * 8 + (input.u8() == 0xff ? 1 : 0));
        } else {
            bytes = list_of(input, count);
        }
        postings.insert(postings.end(), bytes.begin(), bytes.end());
        dictionary.push_back(static_cast<std::uint8_t>(shared));
        dictionary.push_back(static_cast<std::uint8_t>(term.size() - shared));
        dictionary.insert(dictionary.end(), term.begin() + static_cast<std::ptrdiff_t>(shared), term.end());
        put_varint(dictionary, count);
        put_varint(dictionary, bytes.size());
        before = term;
    }
    Bytes section;
    put(section, postings_magic);
    put(section, rows);
    put(section, divisor);
    for (const std::uint64_t number : {terms, postings.size(), dictionary.size()}) put(section, number);
    section.resize(postings_head_bytes);
    for (const Bytes* part : {&postings, &dictionary, &blocks})
        section.insert(section.end(), part->begin(), part->end());
    section.resize(section.size() + postings_slack_bytes);
    if (input.u8() >= 0xf8) section[input.u16() % section.size()] = input.u8();
    return section;
}

inline Bytes fitting_section(Input& input) {
    const std::uint32_t rows = 1 + input.u16() % 3000, divisor = input.u8() % 12;
    return fitting_section(input, rows, divisor);
}

}  // namespace memvid::fuzzing
