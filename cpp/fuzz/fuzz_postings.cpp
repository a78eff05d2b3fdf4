// The index of words: any bytes, sections that fit their heads with postings of any kind, and texts that are indexed.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <string>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/file.hpp"
#include "memvid/postings_writer.hpp"
#include "memvid/word_search.hpp"
#include "postings_input.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, fitting, texts, modes };

// Texts as a section; `most_postings` are kept in memory.
Bytes section_of(const std::vector<std::string>& texts, std::size_t most_postings) {
    static const MemoryFile file;
    const int scratch = ::memfd_create("fuzz", MFD_CLOEXEC);
    require(scratch >= 0, "there are files in memory");
    PostingsWriter writer(most_postings, 1 << 20);
    for (const auto& text : texts) {
        writer.add(text);
        if (writer.is_full()) writer.spill(scratch);
    }
    OutputFile out(file.path());
    writer.finish(out, {});
    Bytes section(out.size());
    out.sync();
    out.close();
    ::close(scratch);
    require(InputFile(file.path()).read_at(0, section), "what was written is there");
    return section;
}

// Each ends with a byte of zero.
std::vector<std::string> texts_of(Input& input) {
    std::vector<std::string> result;
    while (!input.empty()) {
        std::string text;
        for (std::uint8_t c = input.u8(); c != 0; c = input.u8()) text += static_cast<char>(c);
        result.push_back(std::move(text));
    }
    return result;
}

// Tells what a search should find from the scores of all rows.
void check_search(const WordIndex& index, const std::vector<std::string>& terms, std::size_t k, bool is_sound) {
    const auto found = index.search(terms, k, {});
    require(found.size() <= k, "a search finds at most k");
    for (std::size_t i = 0; i < found.size(); ++i) {
        require(found[i].row < index.rows() && std::isfinite(found[i].score) && found[i].score > 0, "a hit is a row");
        require(i == 0 || found[i - 1].score > found[i].score ||
                    (found[i - 1].score == found[i].score && found[i - 1].row < found[i].row),
                "hits come best first");
    }
    std::vector<std::int64_t> rows(index.rows());
    for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = static_cast<std::int64_t>(row);
    const auto scores = index.score(terms, rows);
    std::size_t having = 0;
    for (const float score : scores) having += score > 0 ? 1 : 0;
    for (const auto row : index.rows_with_all(terms)) require(row < index.rows(), "a row is there");
    if (!is_sound) return;
    require(found.size() == std::min(k, having), "a search finds as many as there are");
    for (const auto& hit : found) require(scores[hit.row] == hit.score, "a hit has its score");
    if (found.empty() || terms.size() > 16) return;  // of more, the rarest propose
    std::size_t above = 0;
    for (std::size_t row = 0; row < scores.size(); ++row)
        above += scores[row] > found.back().score || (scores[row] == found.back().score && row <= found.back().row);
    require(above == found.size(), "no row that is better is left out");
}

void check_section(const Bytes& section, const std::vector<std::string>& terms, std::size_t k) {
    const Postings postings(section);
    if (postings.rows() > most_tried_rows) return;
    const Bytes lengths = some_lengths(postings.rows());
    const WordIndex index({{section, lengths}});
    try {
        postings.each_between("", "~", [&](std::string_view term, const TermPostings& found) {
            require(term < "~" && found.count <= postings.rows(), "a term has rows");
        });
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format, "a section lies");
    }
    bool is_sound = true;
    try {
        index.check();
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format, "a section lies");
        is_sound = false;
    }
    try {
        check_search(index, terms, k, is_sound);
    } catch (const Error&) {
        require(!is_sound, "what was found sound can be searched");
        throw;
    }
}

void check_texts(const std::vector<std::string>& texts, const std::vector<std::string>& terms, std::size_t k,
                 std::size_t most_postings) {
    const Bytes whole = section_of(texts, most_postings);
    require(whole == section_of(texts, 1 << 20), "a section does not depend on memory");
    check_section(whole, terms, k);
    const std::size_t half = texts.size() / 2;
    const Bytes first = section_of({texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(half)}, 1 << 20);
    const Bytes second = section_of({texts.begin() + static_cast<std::ptrdiff_t>(half), texts.end()}, 1 << 20);
    const Bytes lengths(texts.size(), 40);
    const ByteView view(lengths);
    const WordIndex one({{whole, view}}), two({{first, view.first(half)}, {second, view.subspan(half)}});
    const auto found = one.search(terms, k, {}), same = two.search(terms, k, {});
    require(found.size() == same.size(), "two segments are one");
    for (std::size_t i = 0; i < found.size(); ++i)
        require(found[i].row == same[i].row && found[i].score == same[i].score, "two segments rank as one");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto mode = static_cast<Mode>(input.u8() % modes);
    const std::size_t k = 1 + input.u8() % 40, most_postings = input.u8();
    std::vector<std::string> terms;
    for (std::size_t count = input.u8() % 24; count > 0; --count) {
        const Bytes term = copy_of(input.bytes(input.u8() % 8));
        std::string text(term.begin(), term.end());
        if (std::find(terms.begin(), terms.end(), text) == terms.end()) terms.push_back(std::move(text));
    }
    try {
        switch (mode) {
            case any_bytes: check_section(copy_of(input.rest()), terms, k); break;
            case fitting: check_section(fitting_section(input), terms, k); break;
            default: check_texts(texts_of(input), terms, k, most_postings);
        }
    } catch (const Error& error) {
        require(mode != texts && error.code() == ErrorCode::format, "a section lies");
    }
    return 0;
}
