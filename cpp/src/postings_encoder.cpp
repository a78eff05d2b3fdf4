#include "postings_encoder.hpp"

#include <algorithm>
#include <bit>

#include "little_endian_writer.hpp"

namespace memvid {

namespace {

constexpr std::size_t copied_bytes = 1 << 16;  // at a time
constexpr std::size_t dictionary_room = 1 << 20;
constexpr std::size_t unit_bytes = posting_block / 8;

}  // namespace

PostingsEncoder::PostingsEncoder(OutputFile& out, std::uint32_t rows, ScratchFile* scratch)
    : out_(out),
      head_at_(out.size()),
      rows_(rows),
      scratch_(scratch),
      scratch_at_(scratch == nullptr ? 0 : scratch->size()) {
    out_.append(Bytes(postings_head_bytes));
}

void PostingsEncoder::begin(std::string_view term, std::uint32_t count) {
    term_ = term;
    count_ = count;
    is_bitmap_ = std::uint64_t{count} * bitmap_divisor > rows_;
    bytes_.clear(), lasts_.clear(), offsets_.clear(), packed_.clear();
    filled_ = 0;
    next_row_ = 0;
    if (is_bitmap_) bytes_.resize((std::size_t{rows_} + 63) / 64 * 8);
}

void PostingsEncoder::add(std::uint32_t row) {
    if (is_bitmap_) {
        bytes_[row / 8] |= static_cast<std::uint8_t>(1 << (row % 8));
        return;
    }
    gaps_[filled_++] = row - next_row_;
    next_row_ = row + 1;
    if (filled_ < posting_block) return;
    put_le32(lasts_, row);
    put_le32(offsets_, static_cast<std::uint32_t>(packed_.size() / unit_bytes));
    pack();
    filled_ = 0;
}

void PostingsEncoder::pack() {
    const auto width = static_cast<unsigned>(std::bit_width(*std::max_element(gaps_, gaps_ + posting_block)));
    std::uint64_t bits = 0;
    unsigned held = 0;
    for (const std::uint64_t gap : gaps_) {
        bits |= gap << held;
        for (held += width; held >= 8; held -= 8, bits >>= 8) packed_.push_back(static_cast<std::uint8_t>(bits));
    }
}

void PostingsEncoder::end() {
    if (!lasts_.empty()) put_le32(offsets_, static_cast<std::uint32_t>(packed_.size() / unit_bytes));
    for (const Bytes* part : {&lasts_, &offsets_, &packed_}) bytes_.insert(bytes_.end(), part->begin(), part->end());
    for (std::size_t i = 0; i < filled_; ++i) put_varint(bytes_, gaps_[i]);
    out_.append(bytes_);

    const bool is_first = terms_++ % terms_a_block == 0;
    if (is_first) {
        put_le64(blocks_, dictionary_size_ + dictionary_.size());
        put_le64(blocks_, postings_size_);
        before_.clear();
    }
    const auto differ = std::mismatch(term_.begin(), term_.end(), before_.begin(), before_.end()).first;
    const auto shared = static_cast<std::size_t>(differ - term_.begin());
    dictionary_.push_back(static_cast<std::uint8_t>(shared));
    dictionary_.push_back(static_cast<std::uint8_t>(term_.size() - shared));
    put_text(dictionary_, std::string_view(term_).substr(shared));
    put_varint(dictionary_, count_);
    put_varint(dictionary_, bytes_.size());
    postings_size_ += bytes_.size();
    std::swap(before_, term_);
    if (scratch_ == nullptr || dictionary_.size() < dictionary_room) return;
    scratch_->append(dictionary_);
    dictionary_size_ += dictionary_.size();
    dictionary_.clear();
}

void PostingsEncoder::finish() {
    for (std::uint64_t done = 0; done < dictionary_size_;) {
        Bytes part(std::min<std::uint64_t>(copied_bytes, dictionary_size_ - done));
        scratch_->read(scratch_at_ + done, part);
        out_.append(part);
        done += part.size();
    }
    out_.append(dictionary_);
    blocks_.resize(blocks_.size() + postings_slack_bytes);
    out_.append(blocks_);
    Bytes head;
    put_le64(head, postings_magic);
    put_le32(head, rows_);
    put_le32(head, bitmap_divisor);
    for (const std::uint64_t number : {terms_, postings_size_, dictionary_size_ + dictionary_.size()})
        put_le64(head, number);
    out_.overwrite(head_at_, head);
}

}  // namespace memvid
