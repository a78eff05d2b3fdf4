#include <map>
#include <set>
#include <string>
#include <vector>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/error.hpp"
#include "memvid/field_search.hpp"
#include "memvid/postings_writer.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

std::string key(std::uint32_t n) { return {'n', static_cast<char>(n / 256), static_cast<char>(n % 256)}; }

// 1,000 rows: of 7 rows one has "n" and its number, all have "even" or "odd", some of a run "run".
std::vector<std::string> terms_of_row(std::uint32_t row) {
    std::vector<std::string> terms{row % 2 == 0 ? "even" : "odd"};
    if (row % 7 == 0) terms.push_back(key(row));
    if (row >= 300 && row < 900) terms.push_back("run");
    return terms;
}

Bytes section_of(std::uint32_t rows) {
    PostingsWriter writer;
    for (std::uint32_t row = 0; row < rows; ++row) {
        const auto terms = terms_of_row(row);
        const std::vector<std::string_view> views(terms.begin(), terms.end());
        writer.add_terms(views);
    }
    return finished(writer);
}

std::set<std::uint32_t> rows_in(const std::vector<std::uint64_t>& bits) {
    std::set<std::uint32_t> rows;
    for (std::uint32_t row = 0; row < bits.size() * 64; ++row)
        if ((bits[row / 64] >> (row % 64) & 1) != 0) rows.insert(row);
    return rows;
}

template <typename Has>
std::set<std::uint32_t> expected(Has has) {
    std::set<std::uint32_t> rows;
    for (std::uint32_t row = 0; row < 1000; ++row)
        for (const auto& term : terms_of_row(row))
            if (has(term)) rows.insert(row);
    return rows;
}

using Ranges = std::vector<std::pair<std::string, std::string>>;

std::set<std::uint32_t> found(const Postings& fields, const std::vector<std::string>& terms, const Ranges& ranges,
                              std::size_t skip = 0, const std::string& needle = "") {
    return rows_in(rows_with_any(fields, {terms, ranges, skip, needle}, {}));
}

}  // namespace

TEST(rows_are_found_by_terms_and_ranges) {
    const Bytes section = section_of(1000);
    const Postings fields(section);
    fields.check();
    CHECK(found(fields, {}, {}).empty());
    CHECK(found(fields, {"even"}, {}) == expected([](const std::string& term) { return term == "even"; }));
    CHECK(found(fields, {"run", "none", std::string("n\0\7", 3)}, {}) ==
          expected([](const std::string& term) { return term == "run" || term == std::string("n\0\7", 3); }));
    for (std::uint32_t first = 0; first < 1000; first += 93)
        for (std::uint32_t last = 0; last < 1100; last += 101) {
            CHECK(found(fields, {}, {{key(first), key(last)}}) ==
                  expected([&](const std::string& term) { return key(first) <= term && term < key(last); }));
        }
    CHECK(found(fields, {}, {{"", "zzz"}}).size() == 1000);
}

TEST(terms_may_have_to_contain_bytes) {
    const Bytes section = section_of(1000);
    const Postings fields(section);
    CHECK(found(fields, {}, {{"a", "z"}}, 0, "ve") == found(fields, {"even"}, {}));
    CHECK(found(fields, {}, {{"a", "z"}}, 1, "ve") == found(fields, {"even"}, {}));
    CHECK(found(fields, {}, {{"a", "z"}}, 2, "ve").empty());
    CHECK(found(fields, {}, {{"a", "z"}}, 9, "ve").empty());
    CHECK(found(fields, {}, {{"a", "z"}}, 0, "dd") == found(fields, {"odd"}, {}));
}

TEST(terms_are_listed) {
    const Bytes section = section_of(1000);
    const Postings fields(section);
    CHECK((terms_between(fields, "e", "f", 9) == std::vector<std::string>{"even"}));
    CHECK((terms_between(fields, "o", "z", 9) == std::vector<std::string>{"odd", "run"}));
    CHECK(terms_between(fields, "", "z", 10).size() == 10);
}

TEST(numbers_of_rows_are_summed_by_term) {
    const Bytes section = section_of(1000);
    std::vector<std::uint64_t> numbers(1000);
    std::map<std::string, std::uint64_t> sums, told;
    for (std::uint32_t row = 0; row < 1000; ++row) {
        numbers[row] = row * 0x9e37'79b9'7f4a'7c15ULL;  // so that sums overflow
        for (const auto& term : terms_of_row(row)) sums[term] += numbers[row];
    }
    const Postings fields(section);
    sum_rows(fields, numbers, [&](std::string_view term, std::uint64_t sum) { told[std::string(term)] = sum; });
    CHECK(told == sums);
    numbers.pop_back();
    CHECK_ERROR(config, sum_rows(fields, numbers, [](std::string_view, std::uint64_t) {}));
}

TEST(terms_with_their_rows_make_the_same_section) {
    std::map<std::string, std::vector<std::int64_t>> rows;
    for (std::uint32_t row = 0; row < 1000; ++row)
        for (const auto& term : terms_of_row(row)) rows[term].push_back(row);
    const TemporaryFolder folder;
    OutputFile out(folder.file("fields"));
    SortedPostingsWriter writer(out, 1000);
    for (const auto& [term, having] : rows) writer.add(term, having);
    const std::vector<std::int64_t> some{1, 2}, falling{2, 1}, beyond{1000}, none;
    for (const auto* wrong : {&falling, &beyond, &none}) CHECK_ERROR(config, writer.add("zzz", *wrong));
    CHECK_ERROR(config, writer.add("run", some));
    CHECK_ERROR(config, writer.add(std::string(longest_term + 1, 'z'), some));
    writer.finish();
    out.sync();
    out.close();
    CHECK(load(folder.file("fields")) == section_of(1000));
}

TEST(a_search_ends_when_it_is_told_to) {
    std::vector<std::string> many(10'000, "even");
    const Bytes section = section_of(100);
    int calls = 0;
    rows_with_any(Postings(section), {many, {}, 0, ""}, [&] { ++calls; });
    CHECK(calls == 2);
}

TEST(fields_of_nothing) {
    const Bytes section = section_of(0);
    const Postings fields(section);
    CHECK(rows_with_any(fields, {}, {}).empty());
    CHECK(found(fields, {"even"}, {{"", "z"}}).empty());
}
