#include "memvid/field_search.hpp"

#include <bit>
#include <string_view>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::uint64_t polled_terms = 4096;
const std::string behind_all(longest_term + 1, '\xff');

void add_rows(std::vector<std::uint64_t>& bits, const TermPostings& term, std::uint32_t rows) {
    PostingCursor cursor(term, rows);
    if (cursor.is_bitmap())
        for (std::uint32_t index = 0; index < bits.size(); ++index) bits[index] |= cursor.word(index);
    else
        cursor.each(0, rows, [&](std::uint32_t row) { bits[row / 64] |= std::uint64_t{1} << (row % 64); });
}

}  // namespace

std::vector<std::uint64_t> rows_with_any(const Postings& fields, const WantedTerms& wanted, const Poll& poll) {
    std::vector<std::uint64_t> bits((std::size_t{fields.rows()} + 63) / 64);
    std::uint64_t seen = 0;
    const auto look = [&] {
        if (++seen % polled_terms == 0 && poll) poll();
    };
    for (const auto& term : wanted.terms) {
        look();
        if (const auto found = fields.find(term)) add_rows(bits, *found, fields.rows());
    }
    for (const auto& [first, last] : wanted.ranges)
        fields.each_between(first, last, [&](std::string_view term, const TermPostings& found) {
            look();
            if (wanted.needle.empty() ||
                (term.size() > wanted.skip && term.substr(wanted.skip).find(wanted.needle) != std::string_view::npos))
                add_rows(bits, found, fields.rows());
        });
    return bits;
}

std::vector<std::string> terms_between(const Postings& fields, const std::string& first, const std::string& last,
                                       std::size_t most) {
    std::vector<std::string> terms;
    fields.each_between(first, last, [&](std::string_view term, const TermPostings&) {
        if (terms.size() < most) terms.emplace_back(term);
    });
    return terms;
}

void sum_rows(const Postings& fields, std::span<const std::uint64_t> numbers,
              const std::function<void(std::string_view, std::uint64_t)>& take) {
    if (numbers.size() != fields.rows()) throw Error(ErrorCode::config, "there is not a number for each row");
    fields.each_between("", behind_all, [&](std::string_view term, const TermPostings& found) {
        PostingCursor cursor(found, fields.rows());
        std::uint64_t sum = 0;
        if (cursor.is_bitmap())
            for (std::uint32_t index = 0; std::size_t{index} * 64 < numbers.size(); ++index)
                for (std::uint64_t word = cursor.word(index); word != 0; word &= word - 1)
                    sum += numbers[std::size_t{index} * 64 + static_cast<std::size_t>(std::countr_zero(word))];
        else
            cursor.each(0, fields.rows(), [&](std::uint32_t row) { sum += numbers[row]; });
        take(term, sum);
    });
}

}  // namespace memvid
