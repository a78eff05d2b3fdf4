// The index of words: any bytes, sections that fit their heads with postings of any kind, and texts that are indexed.
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <string>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/file.hpp"
#include "memvid/postings_writer.hpp"
#include "memvid/word_search.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, fitting, texts, modes };

constexpr std::size_t most_tried_rows = 1 << 14;

template <typename T>
void put(Bytes& out, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void put_varint(Bytes& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
    out.push_back(static_cast<std::uint8_t>(value));
}

// Of full blocks and a tail; gaps are the input's. What else there is to say of them is mostly true.
Bytes list_of(Input& input, std::uint32_t count) {
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

Bytes fitting_section(Input& input) {
    const std::uint32_t rows = 1 + input.u16() % 3000, divisor = input.u8() % 12;
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
    Bytes lengths(postings.rows());
    for (std::size_t row = 0; row < lengths.size(); ++row) lengths[row] = static_cast<std::uint8_t>(row * row / 7);
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
