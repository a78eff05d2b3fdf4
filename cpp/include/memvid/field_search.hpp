// The rows that have some value of a field: in postings whose terms are values, in the order of the values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "memvid/postings.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

// What rows have.
struct WantedTerms {
    std::span<const std::string> terms;                           // any of these, or
    std::span<const std::pair<std::string, std::string>> ranges;  // any from the first up to and without the second,
    std::size_t skip = 0;                                         // if so many bytes
    std::string needle;                                           // are followed by any, and by these
};

// A bit for each row, the lowest first, in words of 64. Costs the terms in the ranges and their rows. Throws
// Error(format) where it meets what cannot be.
std::vector<std::uint64_t> rows_with_any(const Postings& fields, const WantedTerms& wanted, const Poll& poll);

// The terms from `first` up to and without `last`, in their order; at most so many. Throws likewise.
std::vector<std::string> terms_between(const Postings& fields, const std::string& first, const std::string& last,
                                       std::size_t most);

// Hands each term to `take` with the sum of the numbers, of which there is one for each row, of the rows that have it.
// Throws likewise.
void sum_rows(const Postings& fields, std::span<const std::uint64_t> numbers,
              const std::function<void(std::string_view, std::uint64_t)>& take);

}  // namespace memvid
