#include "memvid/postings.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t block_entry_bytes = 16;          // two u64
constexpr std::size_t unit_bytes = posting_block / 8;  // what a block takes for each bit of a gap

[[noreturn]] void damaged(const char* what) {
    throw Error(ErrorCode::format, std::string("the index of words is damaged: ") + what);
}

std::uint64_t read_varint(const std::uint8_t*& at, const std::uint8_t* end) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (at == end) damaged("a number is cut off");
        const std::uint8_t byte = *at++;
        value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    damaged("a number is too large");
}

// 128 numbers of `width` bits, the lowest first: eight of them end on a byte.
template <unsigned width>
void unpack(const std::uint8_t* in, std::uint32_t* out) {
    constexpr std::uint64_t mask = (std::uint64_t{1} << width) - 1;
    for (std::size_t group = 0; group < posting_block / 8; ++group, in += width, out += 8)
        [&]<std::size_t... i>(std::index_sequence<i...>) {
            ((out[i] = static_cast<std::uint32_t>(load_le64(in + i * width / 8) >> (i * width % 8) & mask)), ...);
        }(std::make_index_sequence<8>());
}

using Unpack = void (*)(const std::uint8_t*, std::uint32_t*);

template <std::size_t... width>
constexpr std::array<Unpack, sizeof...(width)> unpackers(std::index_sequence<width...>) {
    return {&unpack<static_cast<unsigned>(width)>...};
}

}  // namespace

// A term of the dictionary, as far as it is read.
struct Postings::Entry {
    std::uint64_t at = 0;     // of the next entry, in the dictionary
    std::uint64_t begin = 0;  // of its postings
    std::uint64_t bytes = 0;
    std::uint64_t count = 0;
    std::size_t shared = 0, length = 0;
    char text[longest_term];

    std::string_view term() const { return {text, length}; }
};

Postings::Postings(ByteView section) {
    if (section.size() < postings_head_bytes || load_le64(section.data()) != postings_magic) damaged("it is none");
    rows_ = load_le32(section.data() + 8);
    divisor_ = load_le32(section.data() + 12);
    terms_ = load_le64(section.data() + 16);
    const std::uint64_t postings = load_le64(section.data() + 24), dictionary = load_le64(section.data() + 32);
    const std::uint64_t room = section.size() - postings_head_bytes;
    // Divided and subtracted, so that nothing overflows.
    blocks_count_ = terms_ / terms_a_block + (terms_ % terms_a_block != 0);
    if (rows_ > most_rows || divisor_ == 0 || postings > room || dictionary > room - postings ||
        blocks_count_ > (room - postings - dictionary) / block_entry_bytes ||
        room - postings - dictionary - blocks_count_ * block_entry_bytes != postings_slack_bytes)
        damaged("its head does not fit it");
    postings_ = section.subspan(postings_head_bytes, postings);
    dictionary_ = section.subspan(postings_head_bytes + postings, dictionary);
    blocks_ = section.subspan(postings_head_bytes + postings + dictionary, blocks_count_ * block_entry_bytes);
}

// What is in front of the first term of a block.
Postings::Entry Postings::entry_at(std::uint64_t block) const {
    Entry entry;
    entry.at = load_le64(blocks_.data() + block * block_entry_bytes);
    entry.begin = load_le64(blocks_.data() + block * block_entry_bytes + 8);
    if (entry.at > dictionary_.size() || entry.begin > postings_.size()) damaged("a block of terms is outside of it");
    return entry;
}

void Postings::next(Entry& entry) const {
    const std::uint8_t *at = dictionary_.data() + entry.at, *end = dictionary_.data() + dictionary_.size();
    if (end - at < 2) damaged("the dictionary is cut off");
    const std::size_t shared = *at++, rest = *at++;
    if (shared > entry.length || shared + rest > longest_term || rest > static_cast<std::size_t>(end - at))
        damaged("a term does not fit");
    std::copy_n(at, rest, entry.text + shared);
    at += rest;
    entry.shared = shared;
    entry.length = shared + rest;
    entry.begin += entry.bytes;
    entry.count = read_varint(at, end);
    entry.bytes = read_varint(at, end);
    if (entry.count == 0 || entry.count > rows_ || entry.bytes > postings_.size() - entry.begin)
        damaged("a term has impossible postings");
    entry.at = static_cast<std::uint64_t>(at - dictionary_.data());
}

TermPostings Postings::postings_of(const Entry& entry) const {
    return {static_cast<std::uint32_t>(entry.count), entry.count * divisor_ > rows_,
            postings_.subspan(entry.begin, entry.bytes)};
}

std::string_view Postings::first_term(std::uint64_t block) const {
    const std::uint64_t at = entry_at(block).at;
    if (dictionary_.size() - at < 2 || dictionary_[at] != 0 || dictionary_[at + 1] > dictionary_.size() - at - 2)
        damaged("a block of terms begins with none");
    return {reinterpret_cast<const char*>(dictionary_.data() + at + 2), dictionary_[at + 1]};
}

// The block that a term is in, if it is in any: the last one that does not begin behind it, else the first.
std::uint64_t Postings::block_of(std::string_view term) const {
    std::uint64_t low = 0, high = blocks_count_;
    while (low < high) {
        const std::uint64_t middle = low + (high - low) / 2;
        if (first_term(middle) <= term)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : low - 1;
}

std::optional<TermPostings> Postings::find(std::string_view term) const {
    if (terms_ == 0) return std::nullopt;
    const std::uint64_t block = block_of(term);
    Entry entry = entry_at(block);
    const std::uint64_t end = std::min(terms_, (block + 1) * terms_a_block);
    for (std::uint64_t number = block * terms_a_block; number < end; ++number) {
        next(entry);
        if (entry.term() == term) return postings_of(entry);
        if (entry.term() > term) return std::nullopt;
    }
    return std::nullopt;
}

void Postings::each_between(std::string_view first, std::string_view last,
                            const std::function<void(std::string_view, const TermPostings&)>& take) const {
    if (terms_ == 0) return;
    const std::uint64_t block = block_of(first);
    Entry entry = entry_at(block);
    for (std::uint64_t number = block * terms_a_block; number < terms_; ++number) {
        if (number % terms_a_block == 0) entry.length = 0;  // the first term of a block shares nothing
        next(entry);
        if (entry.term() >= last) return;
        if (entry.term() >= first) take(entry.term(), postings_of(entry));
    }
}

void Postings::check() const {
    Entry entry;
    std::string before;
    for (std::uint64_t number = 0; number < terms_; ++number) {
        if (number % terms_a_block == 0) {
            const Entry block = entry_at(number / terms_a_block);
            if (block.at != entry.at || block.begin != entry.begin + entry.bytes) damaged("its blocks do not join");
            entry.length = 0;  // the first term of a block shares nothing
        }
        next(entry);
        const std::string_view term = entry.term();
        const auto differ = std::mismatch(term.begin(), term.end(), before.begin(), before.end());
        const auto shared = static_cast<std::size_t>(differ.first - term.begin());
        if (term <= before || entry.shared != (number % terms_a_block == 0 ? 0 : shared))
            damaged("terms do not ascend");
        before = term;
        PostingCursor(postings_of(entry), rows_).check();
    }
    if (entry.at != dictionary_.size() || entry.begin + entry.bytes != postings_.size())
        damaged("it has more than its terms");
}

PostingCursor::PostingCursor(const TermPostings& term, std::uint32_t rows)
    : bytes_(term.bytes.data()),
      end_(term.bytes.data() + term.bytes.size()),
      rows_(rows),
      count_(term.count),
      is_bitmap_(term.is_bitmap) {
    if (is_bitmap_) {
        if (term.bytes.size() != (std::size_t{rows} + 63) / 64 * 8) damaged("a bitmap has another size");
        return;
    }
    blocks_ = count_ / posting_block;
    packed_ = bytes_;
    if (blocks_ == 0) return;
    const std::size_t head = 4 * (2 * std::size_t{blocks_} + 1);
    if (term.bytes.size() < head) damaged("postings are cut off");
    packed_ += head;
    packed_units_ = offset_of(blocks_);
    if ((term.bytes.size() - head) / unit_bytes < packed_units_) damaged("postings are cut off");
}

std::uint32_t PostingCursor::last_of(std::uint32_t block) const { return load_le32(bytes_ + 4 * std::size_t{block}); }

std::uint32_t PostingCursor::offset_of(std::uint32_t block) const {
    return load_le32(bytes_ + 4 * (std::size_t{blocks_} + block));
}

std::uint64_t PostingCursor::word(std::uint32_t index) const {
    const std::uint64_t word = load_le64(bytes_ + 8 * std::size_t{index});
    // A damaged file may have bits behind the last row.
    return index < rows_ / 64 ? word : word & ((std::uint64_t{1} << (rows_ % 64)) - 1);
}

std::uint32_t PostingCursor::seek(std::uint32_t row) {
    if (is_bitmap_) {
        if (row >= rows_) return rows_;
        std::uint32_t index = row / 64;
        std::uint64_t bits = word(index) >> (row % 64) << (row % 64);
        for (; bits == 0; bits = word(index))
            if (++index > (rows_ - 1) / 64) return rows_;
        return index * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
    }
    if (filled_ == 0 || buffer_[filled_ - 1] < row) {
        // In steps that double, then halved: the block with the row is mostly near.
        std::uint32_t low = block_, step = 1;
        while (low < blocks_ && last_of(std::min(low + step, blocks_) - 1) < row) {
            low = std::min(low + step, blocks_);
            step *= 2;
        }
        std::uint32_t high = std::min(low + step, blocks_);
        while (low < high) {
            const std::uint32_t middle = low + (high - low) / 2;
            if (last_of(middle) < row)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < blocks_) {
            fill(low);
        } else if (block_ <= blocks_) {
            fill_tail();
        }
        block_ = std::min(low, blocks_) + 1;
    }
    if (place_ < filled_ && buffer_[place_] < row)
        place_ = static_cast<std::uint32_t>(std::lower_bound(buffer_ + place_, buffer_ + filled_, row) - buffer_);
    return place_ < filled_ ? buffer_[place_] : rows_;
}

void PostingCursor::fill(std::uint32_t block) {
    static constexpr auto unpackers_of = unpackers(std::make_index_sequence<widest_gap + 1>());
    const std::uint32_t begin = offset_of(block), end = offset_of(block + 1);
    if (begin > end || end > packed_units_ || end - begin > widest_gap) damaged("a block of postings does not fit");
    unpackers_of[end - begin](packed_ + unit_bytes * begin, buffer_);
    std::uint64_t row = block == 0 ? 0 : std::uint64_t{last_of(block - 1)} + 1;  // the first that may come
    for (auto& value : buffer_) {
        row += value;
        value = static_cast<std::uint32_t>(row++);
    }
    const std::uint32_t last = last_of(block);
    if (row - 1 != last || last >= rows_) damaged("a block of postings ends elsewhere");
    filled_ = posting_block;
    place_ = 0;
}

void PostingCursor::fill_tail() {
    filled_ = place_ = 0;
    const std::uint8_t* at = packed_ + unit_bytes * std::size_t{packed_units_};
    std::uint64_t row = blocks_ == 0 ? 0 : std::uint64_t{last_of(blocks_ - 1)} + 1;
    for (std::uint32_t i = 0; i < count_ % posting_block; ++i) {
        const std::uint64_t gap = read_varint(at, end_);
        if (row >= rows_ || gap >= rows_ - row) damaged("postings name a row there is none of");
        row += gap;
        buffer_[i] = static_cast<std::uint32_t>(row++);
    }
    if (at != end_) damaged("postings have more than their rows");
    filled_ = count_ % posting_block;
}

void PostingCursor::check() {
    if (is_bitmap_) {
        std::uint64_t found = 0;
        for (std::uint32_t index = 0; index < (std::uint64_t{rows_} + 63) / 64; ++index) {
            if (word(index) != load_le64(bytes_ + 8 * std::size_t{index})) damaged("a bitmap has more than the rows");
            found += static_cast<std::uint64_t>(std::popcount(word(index)));
        }
        if (found != count_) damaged("a bitmap has another number of rows");
        return;
    }
    if (blocks_ > 0 && offset_of(0) != 0) damaged("a block of postings does not fit");
    for (std::uint32_t block = 0; block < blocks_; ++block) fill(block);
    fill_tail();
    *this = PostingCursor({count_, is_bitmap_, {bytes_, end_}}, rows_);
}

}  // namespace memvid
