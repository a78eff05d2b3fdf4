// Rows by values of fields: any bytes, sections that fit their heads, and rows with any terms, asked for ranges of them.
#include <algorithm>
#include <bit>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/field_search.hpp"
#include "memvid/postings_writer.hpp"
#include "postings_input.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, fitting, rows, modes };

using Rows = std::vector<std::set<std::string>>;

// What is asked for; WantedTerms only looks at it.
struct Asked {
    std::vector<std::string> terms;
    std::vector<std::pair<std::string, std::string>> ranges;
    std::size_t skip;
    std::string needle;

    WantedTerms wanted() const { return {terms, ranges, skip, needle}; }

    bool holds(const std::string& term) const {
        if (std::find(terms.begin(), terms.end(), term) != terms.end()) return true;
        const bool has = needle.empty() ||
                         (term.size() > skip && std::string_view(term).substr(skip).find(needle) != std::string::npos);
        return has && std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
            return range.first <= term && term < range.second;
        });
    }
};

std::string text_of(Input& input) {
    const Bytes bytes = copy_of(input.bytes(input.u8() % 6));
    return {bytes.begin(), bytes.end()};
}

Asked asked_of(Input& input) {
    Asked asked;
    for (std::size_t count = input.u8() % 4; count > 0; --count) asked.terms.push_back(text_of(input));
    for (std::size_t count = input.u8() % 4; count > 0; --count) {
        std::string first = text_of(input);
        asked.ranges.emplace_back(std::move(first), text_of(input));
    }
    asked.skip = input.u8() % 4;
    asked.needle = input.u8() % 2 == 0 ? "" : text_of(input);
    return asked;
}

// Some bytes of terms end with one below 16, a row with one below 2.
Rows rows_of(Input& input) {
    Rows result;
    while (!input.empty() && result.size() < 400) {
        std::set<std::string> row;
        std::string term;
        for (std::uint8_t byte = input.u8(); byte >= 2; byte = input.u8()) {
            term += static_cast<char>(byte);
            if (byte >= 16 && term.size() < longest_term) continue;
            row.insert(std::move(term));
            term.clear();
        }
        result.push_back(std::move(row));
    }
    return result;
}

Bytes section_of(const Rows& rows) {
    static const MemoryFile file;
    PostingsWriter writer;
    for (const auto& row : rows) {
        const std::vector<std::string_view> terms(row.begin(), row.end());
        writer.add_terms(terms);
    }
    OutputFile out(file.path());
    writer.finish(out, {});
    Bytes section(out.size());
    out.sync();
    out.close();
    require(InputFile(file.path()).read_at(0, section), "what was written is there");
    return section;
}

void check_section(const Bytes& section, const Asked& asked) {
    const Postings fields(section);
    if (fields.rows() > 1 << 14) return;
    const auto bits = rows_with_any(fields, asked.wanted(), {});
    require(bits.size() == (std::size_t{fields.rows()} + 63) / 64, "there is a bit for each row");
    if (fields.rows() % 64 != 0) require(bits.back() >> (fields.rows() % 64) == 0, "no row is beyond the last one");
    const auto terms = terms_between(fields, "", "\xff", 20);
    require(terms.size() <= 20, "there are no more terms than were asked for");
}

void check_rows(const Rows& rows, const Asked& asked) {
    const Bytes section = section_of(rows);
    const Postings fields(section);
    fields.check();
    const auto bits = rows_with_any(fields, asked.wanted(), {});
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const bool holds = std::any_of(rows[row].begin(), rows[row].end(),
                                       [&](const std::string& term) { return asked.holds(term); });
        require((bits[row / 64] >> (row % 64) & 1) == (holds ? 1 : 0), "a row is found exactly if it has what is asked");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto mode = static_cast<Mode>(input.u8() % modes);
    const Asked asked = asked_of(input);
    try {
        switch (mode) {
            case any_bytes: check_section(copy_of(input.rest()), asked); break;
            case fitting: check_section(fitting_section(input), asked); break;
            default: check_rows(rows_of(input), asked);
        }
    } catch (const Error& error) {
        require(mode != rows && error.code() == ErrorCode::format, "a section lies");
    }
    return 0;
}
