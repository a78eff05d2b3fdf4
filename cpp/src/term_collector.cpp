#include "term_collector.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <random>

#include "little_endian_writer.hpp"
#include "memvid/postings.hpp"

namespace memvid {

namespace {

constexpr std::size_t first_slots = 1 << 12;

// What a byte is as a part of a word, 0 where it ends one.
constexpr std::array<char, 256> word_bytes = [] {
    std::array<char, 256> result{};
    for (int byte = 0; byte < 256; ++byte) {
        const bool upper = byte >= 'A' && byte <= 'Z';
        const bool other = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 128;
        result[static_cast<std::size_t>(byte)] = static_cast<char>(upper ? byte - 'A' + 'a' : other ? byte : 0);
    }
    return result;
}();

}  // namespace

TermCollector::TermCollector() : slots_(first_slots) {
    // Words with one hash take as long as their number squared: nobody is to know which these are.
    std::random_device random;
    for (auto& half : key_) half = std::uint64_t{random()} << 32 | random();
}

std::string_view TermCollector::text_of(const Term& term) const {
    return {reinterpret_cast<const char*>(texts_.data() + term.text), term.length};
}

// SipHash-1-3.
std::uint32_t TermCollector::hash_of(std::string_view text) const {
    std::uint64_t a = key_[0] ^ 0x736f'6d65'7073'6575, b = key_[1] ^ 0x646f'7261'6e64'6f6d;
    std::uint64_t c = key_[0] ^ 0x6c79'6765'6e65'7261, d = key_[1] ^ 0x7465'6462'7974'6573;
    const auto round = [&] {
        a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
        c += d, d = std::rotl(d, 16) ^ c;
        a += d, d = std::rotl(d, 21) ^ a;
        c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
    };
    const auto take = [&](std::uint64_t word) {
        d ^= word;
        round();
        a ^= word;
    };
    const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
    std::size_t left = text.size();
    for (; left >= 8; left -= 8, at += 8) take(load_le64(at));
    std::uint64_t last = std::uint64_t{text.size()} << 56;
    for (std::size_t i = 0; i < left; ++i) last |= std::uint64_t{at[i]} << (8 * i);
    take(last);
    c ^= 0xff;
    round(), round(), round();
    return static_cast<std::uint32_t>(a ^ b ^ c ^ d);
}

void TermCollector::add(std::uint32_t row, std::string_view text) {
    token_.clear();
    for (const char c : text) {
        if (const char byte = word_bytes[static_cast<std::uint8_t>(c)]; byte != 0) {
            token_ += byte;
            continue;
        }
        add_term(row, token_);
        token_.clear();
    }
    add_term(row, token_);
    rows_.push_back({row, static_cast<std::uint32_t>(postings_.size())});
}

void TermCollector::add(std::uint32_t row, std::span<const std::string_view> terms) {
    for (const auto term : terms) add_term(row, term);
    rows_.push_back({row, static_cast<std::uint32_t>(postings_.size())});
}

void TermCollector::add_term(std::uint32_t row, std::string_view text) {
    if (text.empty() || text.size() > longest_term) return;
    const std::uint32_t hash = hash_of(text);
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = hash & mask;
    for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
        Term& term = terms_[slots_[slot] - 1];
        if (term.hash != hash || text_of(term) != text) continue;
        if (term.last_row == row) return;
        term.last_row = row;
        ++term.count;
        postings_.push_back(slots_[slot] - 1);
        return;
    }
    postings_.push_back(static_cast<std::uint32_t>(terms_.size()));
    terms_.push_back({texts_.size(), hash, 1, row, static_cast<std::uint8_t>(text.size())});
    put_text(texts_, text);
    slots_[slot] = static_cast<std::uint32_t>(terms_.size());
    if (terms_.size() * 2 > slots_.size()) grow();
}

void TermCollector::grow() {
    slots_.assign(slots_.size() * 2, 0);
    const std::size_t mask = slots_.size() - 1;
    for (std::uint32_t number = 0; number < terms_.size(); ++number) {
        std::size_t slot = terms_[number].hash & mask;
        while (slots_[slot] != 0) slot = (slot + 1) & mask;
        slots_[slot] = number + 1;
    }
}

Bytes TermCollector::sorted_run() const {
    std::vector<std::uint32_t> order(terms_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return text_of(terms_[a]) < text_of(terms_[b]); });
    std::vector<std::uint32_t> places(terms_.size());  // where the next row of each term goes
    std::uint32_t end = 0;
    for (const auto number : order) {
        places[number] = end;
        end += terms_[number].count;
    }
    std::vector<std::uint32_t> rows(postings_.size());
    std::size_t at = 0;
    for (const auto& row : rows_)
        for (; at < row.end; ++at) rows[places[postings_[at]]++] = row.row;
    Bytes run;
    for (const auto number : order) {
        const Term& term = terms_[number];
        run.push_back(term.length);
        put_text(run, text_of(term));
        put_varint(run, term.count);
        std::uint32_t next = 0;
        for (std::uint32_t place = places[number] - term.count; place < places[number]; ++place) {
            put_varint(run, rows[place] - next);
            next = rows[place] + 1;
        }
    }
    return run;
}

void TermCollector::clear() {
    texts_.clear(), terms_.clear(), postings_.clear(), rows_.clear();
    slots_.assign(first_slots, 0);
}

}  // namespace memvid
