// Postings: what a writer makes of texts, the ranking against scores computed one by one, and sections that lie.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/postings.hpp"
#include "memvid/postings_writer.hpp"
#include "memvid/word_search.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr std::size_t unlimited = std::size_t{1} << 30;

// A section of postings of some texts; `most_postings` are held in memory.
Bytes section_of(std::span<const std::string> texts, std::size_t most_postings = unlimited) {
    const TemporaryFolder folder;
    const int scratch = ::open(folder.file("scratch").c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    PostingsWriter writer(most_postings, unlimited);
    for (const auto& text : texts) {
        writer.add(text);
        if (writer.is_full()) writer.spill(scratch);
    }
    ::close(scratch);  // the writer has it open for itself
    return finished(writer);
}

std::string word(std::size_t number, const std::string& letter = "w") { return letter + std::to_string(number); }

// Texts over a vocabulary in which the n-th word is n times as rare as the first; some are long, some short.
std::vector<std::string> make_texts(std::size_t count, std::uint64_t seed, std::size_t vocabulary = 400) {
    Random random(seed);
    std::vector<std::string> texts(count);
    for (std::size_t row = 0; row < count; ++row)
        for (std::size_t length = 1 + random.below(row % 5 == 0 ? 60 : 12); length > 0; --length) {
            const double uniform = static_cast<double>(random.below(1 << 20)) / (1 << 20);
            texts[row] += word(static_cast<std::size_t>(std::pow(static_cast<double>(vocabulary), uniform)) - 1) + " ";
        }
    return texts;
}

Bytes make_lengths(const std::vector<std::string>& texts) {
    Bytes lengths;
    for (const auto& text : texts)
        lengths.push_back(
            static_cast<std::uint8_t>(std::lround(std::log1p(std::count(text.begin(), text.end(), ' ')) * 16)));
    return lengths;
}

// An index in `parts` segments of about equal size, with what it looks at.
class Built {
public:
    explicit Built(const std::vector<std::string>& texts, std::size_t parts = 1)
        : Built(texts, make_lengths(texts), parts) {}
    Built(const std::vector<std::string>& texts, Bytes lengths, std::size_t parts) : lengths_(std::move(lengths)) {
        std::vector<WordSegment> segments;
        sections_.reserve(parts);
        for (std::size_t part = 0; part < parts; ++part) {
            const std::size_t begin = texts.size() * part / parts, end = texts.size() * (part + 1) / parts;
            sections_.push_back(section_of(std::span(texts).subspan(begin, end - begin)));
            segments.push_back({sections_.back(), ByteView(lengths_).subspan(begin, end - begin)});
        }
        index_ = std::make_unique<WordIndex>(segments);
        index_->check();
    }

    const WordIndex& operator*() const { return *index_; }
    const WordIndex* operator->() const { return index_.get(); }

private:
    Bytes lengths_;
    std::vector<Bytes> sections_;
    std::unique_ptr<WordIndex> index_;
};

std::map<std::string, std::set<std::uint32_t>> rows_by_word(const std::vector<std::string>& texts) {
    std::map<std::string, std::set<std::uint32_t>> result;
    for (std::uint32_t row = 0; row < texts.size(); ++row) {
        std::istringstream in(texts[row]);
        for (std::string each; in >> each;) result[each].insert(row);
    }
    return result;
}

std::vector<std::string> make_question(Random& random, std::size_t size, std::size_t vocabulary = 400) {
    std::set<std::string> words;
    while (words.size() < size) words.insert(word(random.below(random.below(3) == 0 ? 8 : vocabulary)));
    return {words.begin(), words.end()};
}

// The best rows, by scoring each.
std::vector<ScoredRow> best_of_all(const WordIndex& index, std::span<const std::string> terms, std::size_t k,
                                   RowBits allowed) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < index.rows(); ++row)
        if (allowed.empty() || (allowed[static_cast<std::size_t>(row) / 64] >> (row % 64) & 1) != 0)
            rows.push_back(row);
    const auto scores = index.score(terms, rows);
    std::vector<ScoredRow> found;
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (scores[i] > 0) found.push_back({static_cast<std::uint32_t>(rows[i]), scores[i]});
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    found.resize(std::min(k, found.size()));
    return found;
}

void check_same(const std::vector<ScoredRow>& found, const std::vector<ScoredRow>& expected) {
    CHECK_EQUAL(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK_EQUAL(found[i].row, expected[i].row);
        CHECK_EQUAL(found[i].score, expected[i].score);
    }
}

std::vector<std::uint64_t> random_rows(Random& random, std::size_t rows, std::size_t one_in) {
    std::vector<std::uint64_t> set((rows + 63) / 64);
    for (std::size_t row = 0; row < rows; ++row)
        if (random.below(one_in) == 0) set[row / 64] |= std::uint64_t{1} << (row % 64);
    return set;
}

}  // namespace

TEST(words_are_runs_of_letters_and_digits_and_of_all_beyond_ascii) {
    const std::string longest(longest_term, 'x');
    const std::vector<std::string> texts = {"The QUICK-brown_fox, 3.14",
                                            "",
                                            "  ...  ",
                                            "\xe6\x9d\xb1 caf\xc3\xa9\xff",
                                            "the the\nThe\tTHE" + longest,
                                            longest,
                                            std::string("nul\0byte", 8)};
    const Built index(texts);
    const auto rows = [&](const std::string& term) { return index->rows_with_all(std::vector<std::string>{term}); };
    using Rows = std::vector<std::uint32_t>;
    CHECK(rows("the") == (Rows{0, 4}));
    CHECK(rows("quick") == Rows{0} && rows("brown") == Rows{0} && rows("fox") == Rows{0});
    CHECK(rows("3") == Rows{0} && rows("14") == Rows{0});
    CHECK(rows("\xe6\x9d\xb1") == Rows{3} && rows("caf\xc3\xa9\xff") == Rows{3});
    CHECK(rows(longest) == Rows{5});
    CHECK(rows("the" + longest).empty() && rows("").empty() && rows("Quick").empty() && rows("nothing").empty());
    CHECK(rows("nul") == Rows{6} && rows("byte") == Rows{6});
    CHECK_EQUAL(index->frequency("the"), 2U);
}

TEST(rows_of_a_word_are_those_it_is_in) {
    // Rows around the ends of blocks of 128 and of bitmaps, and gaps of all widths.
    for (const std::uint32_t rows : {1U, 63U, 64U, 65U, 127U, 128U, 1023U, 1024U, 1025U, 9000U, 300000U}) {
        std::map<std::string, std::set<std::uint32_t>> expected;
        std::vector<std::string> texts(rows);
        for (const std::uint32_t step : {1U, 2U, 7U, 8U, 9U, 64U, 70U, 1000U, 100000U})
            for (std::uint32_t row = step / 2; row < rows; row += step) {
                texts[row] += word(step, "s") + " ";
                expected[word(step, "s")].insert(row);
            }
        for (std::uint32_t row = 1; row < rows; row *= 2) {
            texts[row] += "power ";
            expected["power"].insert(row);
        }
        const Bytes section = section_of(texts);
        const Postings postings(section);
        postings.check();
        CHECK_EQUAL(postings.rows(), rows);
        CHECK_EQUAL(postings.terms(), expected.size());
        Random random(rows);
        for (const auto& [term, having] : expected) {
            const auto found = postings.find(term);
            CHECK(found && found->count == having.size());
            PostingCursor all(*found, rows);
            std::vector<std::uint32_t> decoded;
            for (std::uint32_t row = all.seek(0); row < rows; row = all.seek(row + 1)) decoded.push_back(row);
            CHECK(std::equal(decoded.begin(), decoded.end(), having.begin(), having.end()));
            for (int round = 0; round < 20; ++round) {
                PostingCursor jumping(*found, rows);
                const std::size_t stride = 1 + random.below(rows);
                for (std::uint32_t row = 0; row < rows; row += static_cast<std::uint32_t>(1 + random.below(stride))) {
                    CHECK_EQUAL(jumping.contains(row), having.count(row) == 1);
                    const auto next = having.lower_bound(row);
                    CHECK_EQUAL(jumping.seek(row), next == having.end() ? rows : *next);
                }
                CHECK_EQUAL(jumping.seek(rows), rows);
            }
        }
    }
}

TEST(terms_are_any_bytes_and_come_in_their_order) {
    std::vector<std::set<std::string>> rows(500);
    Random random(14);
    PostingsWriter writer;
    for (auto& terms : rows) {
        for (std::size_t i = random.below(8); i > 0; --i) {
            const Bytes bytes = random.bytes(1 + random.below(3));
            terms.insert({bytes.begin(), bytes.end()});
        }
        std::vector<std::string_view> views(terms.rbegin(), terms.rend());
        if (!views.empty()) views.push_back(views.front());  // once is enough
        writer.add_terms(views);
    }
    const Bytes section = finished(writer);
    const Postings postings(section);
    postings.check();
    std::map<std::string, std::set<std::uint32_t>> expected;
    for (std::uint32_t row = 0; row < rows.size(); ++row)
        for (const auto& term : rows[row]) expected[term].insert(row);
    for (int round = 0; round < 200; ++round) {
        const Bytes first = random.bytes(random.below(3)), last = random.bytes(1 + random.below(3));
        const std::string low(first.begin(), first.end()), high(last.begin(), last.end());
        auto next = expected.lower_bound(low);
        postings.each_between(low, high, [&](std::string_view term, const TermPostings& found) {
            CHECK(next->first == term && next->second.size() == found.count);
            ++next;
        });
        CHECK(next == expected.lower_bound(std::max(low, high)));
    }
}

TEST(a_section_is_the_same_however_often_it_spilled) {
    const auto texts = make_texts(3000, 1);
    const Bytes whole = section_of(texts);
    Postings(whole).check();
    for (const std::size_t most : {0, 100, 5000}) CHECK(section_of(texts, most) == whole);
    const Bytes nothing = section_of(std::vector<std::string>{});
    Postings(nothing).check();
    CHECK_EQUAL(nothing.size(), postings_head_bytes + postings_slack_bytes);
}

// Of a vocabulary that takes more than a megabyte, the dictionary goes through the temporary file, too.
TEST(a_large_dictionary_is_the_same_by_way_of_a_file) {
    std::vector<std::string> texts;
    for (std::size_t row = 0; row < 60000; ++row)
        texts.push_back("common " + std::to_string(row * 7919) + "x" + std::to_string(row * row * 31337));
    const Bytes whole = section_of(texts);
    CHECK(section_of(texts, 20000) == whole);
    Postings(whole).check();
    CHECK(Postings(whole).find("common")->is_bitmap);
}

TEST(scores_are_those_of_the_formula) {
    const auto texts = make_texts(3000, 2);
    const Built index(texts);
    const auto having = rows_by_word(texts);
    const Bytes lengths = make_lengths(texts);
    double mean = 0;
    for (const auto length : lengths) mean += std::expm1(length / 16.0) / static_cast<double>(lengths.size());
    Random random(3);
    for (int round = 0; round < 20; ++round) {
        const auto terms = make_question(random, 1 + random.below(9));
        std::vector<std::int64_t> rows;
        for (int i = 0; i < 100; ++i) rows.push_back(static_cast<std::int64_t>(random.below(3000)));
        const auto scores = index->score(terms, rows);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            double sum = 0;
            for (const auto& term : terms) {
                const auto found = having.find(term);
                if (found == having.end() || found->second.count(static_cast<std::uint32_t>(rows[i])) == 0) continue;
                const auto count = static_cast<double>(found->second.size());
                sum += std::log1p((3000 - count + 0.5) / (count + 0.5)) * 2.2;
            }
            const double words = std::expm1(lengths[static_cast<std::size_t>(rows[i])] / 16.0);
            const double expected = sum / (1 + 1.2 * (0.5 + 0.5 * words / mean));
            CHECK(std::abs(scores[i] - expected) <= 1e-4 * std::max(expected, 0.01));
        }
    }
}

// To the last bit, on every machine.
TEST(scores_are_the_same_everywhere) {
    const std::vector<std::string> texts = {"a b c", "a b", "a", "d e f g h a", "e e d"};
    const Built index(texts);
    const auto found = index->search(std::vector<std::string>{"a", "b", "d", "h"}, 5, {});
    const std::vector<ScoredRow> expected = {
        {3, 0x1.cfb028p+0F}, {1, 0x1.5ad8fcp+0F}, {0, 0x1.28c5c6p+0F}, {4, 0x1.bebe1ep-1F}, {2, 0x1.950fp-2F}};
    check_same(found, expected);
}

TEST(a_search_finds_what_scoring_all_finds) {
    const auto texts = make_texts(20000, 4);
    const Built index(texts);
    Random random(5);
    for (int round = 0; round < 150; ++round) {
        const auto terms = make_question(random, 1 + random.below(12));
        const std::size_t k = round % 10 == 0 ? 20000 : 1 + random.below(60);
        check_same(index->search(terms, k, {}), best_of_all(*index, terms, k, {}));
        const auto allowed = random_rows(random, texts.size(), 1 + random.below(300));
        check_same(index->search(terms, k, allowed), best_of_all(*index, terms, k, allowed));
    }
    CHECK(index->search(std::vector<std::string>{}, 5, {}).empty());
    CHECK(index->search(std::vector<std::string>{"w1"}, 0, {}).empty());
    CHECK(index->search(std::vector<std::string>{"nothing"}, 5, {}).empty());
    const std::vector<std::uint64_t> none((texts.size() + 63) / 64);
    CHECK(index->search(std::vector<std::string>{"w1"}, 5, none).empty());
    CHECK_ERROR(config, index->search(std::vector<std::string>{"w1"}, 5, std::span(none).first(3)));
    CHECK_ERROR(config, index->search(std::vector<std::string>(1025, "w1"), 5, {}));
    for (const std::int64_t row : {std::int64_t{-1}, std::int64_t{20000}, std::int64_t{1} << 40})
        CHECK_ERROR(config, index->score(std::vector<std::string>{"w1"}, std::vector{row}));
}

// Rows get shorter from window to window and longer again: in each, other words have to propose.
TEST(one_segment_finds_what_eight_find) {
    const auto texts = make_texts(50000, 6, 3000);
    Bytes lengths;
    Random random(7);
    for (std::size_t row = 0; row < texts.size(); ++row)
        lengths.push_back(static_cast<std::uint8_t>(20 + (row / 4096 * 5 % 12) * 8 + random.below(6)));
    const Built one(texts, lengths, 1), eight(texts, lengths, 8);
    CHECK_EQUAL(eight->rows(), 50000U);
    for (int round = 0; round < 200; ++round) {
        const auto terms = make_question(random, 1 + random.below(12), 3000);
        const std::size_t k = 1 + random.below(60);
        const auto found = one->search(terms, k, {});
        check_same(found, eight->search(terms, k, {}));
        check_same(found, best_of_all(*one, terms, k, {}));
        const auto allowed = random_rows(random, texts.size(), 1 + random.below(50));
        check_same(one->search(terms, k, allowed), eight->search(terms, k, allowed));
        std::vector<std::int64_t> rows;
        for (int i = 0; i < 50; ++i) rows.push_back(static_cast<std::int64_t>(random.below(50000)));
        CHECK(one->score(terms, rows) == eight->score(terms, rows));
        CHECK_EQUAL(one->frequency(terms[0]), eight->frequency(terms[0]));
    }
}

TEST(rows_with_all_words_are_a_conjunction) {
    const auto texts = make_texts(20000, 8);
    const Built one(texts), three(texts, 3);
    const auto having = rows_by_word(texts);
    Random random(9);
    for (int round = 0; round < 100; ++round) {
        const auto terms = make_question(random, 1 + random.below(4), 60);
        std::vector<std::uint32_t> expected;
        for (std::uint32_t row = 0; row < texts.size(); ++row)
            if (std::all_of(terms.begin(), terms.end(), [&](const auto& term) { return having.at(term).count(row); }))
                expected.push_back(row);
        CHECK(one->rows_with_all(terms) == expected);
        CHECK(three->rows_with_all(terms) == expected);
    }
}

TEST(of_many_words_the_rarest_sixteen_propose) {
    const auto texts = make_texts(20000, 10);
    const Built index(texts, 2);
    const auto having = rows_by_word(texts);
    Random random(11);
    for (int round = 0; round < 30; ++round) {
        auto terms = make_question(random, 40);
        std::erase_if(terms, [&](const auto& term) { return having.count(term) == 0; });
        std::sort(terms.begin(), terms.end(),
                  [&](const auto& a, const auto& b) { return having.at(a).size() < having.at(b).size(); });
        std::vector<std::uint64_t> proposed((texts.size() + 63) / 64);
        for (std::size_t i = 0; i < 16; ++i)
            for (const auto row : having.at(terms[i])) proposed[row / 64] |= std::uint64_t{1} << (row % 64);
        // Of terms in equally many rows it is not said which propose.
        if (having.at(terms[15]).size() == having.at(terms[16]).size()) continue;
        check_same(index->search(terms, 50, {}), best_of_all(*index, terms, 50, proposed));
        // They propose too few: all do.
        check_same(index->search(terms, 20000, {}), best_of_all(*index, terms, 20000, {}));
    }
}

TEST(sections_that_lie_are_errors) {
    const auto texts = make_texts(700, 12, 60);
    const Bytes sound = section_of(texts), lengths = make_lengths(texts);
    for (std::size_t size = 0; size < sound.size(); size += 5)
        CHECK_ERROR(format, Postings(ByteView(sound).first(size)));
    CHECK_ERROR(format, WordIndex({{sound, ByteView(lengths).first(699)}}));
    Random random(13);
    int passed = 0, refused = 0, searched = 0;
    for (int round = 0; round < 20000; ++round) {
        Bytes changed = sound;
        for (std::size_t i = random.below(3); i < 3; ++i)
            changed[random.below(changed.size())] = static_cast<std::uint8_t>(random.next());
        const auto terms = make_question(random, 5, 60);
        try {
            const WordIndex index({{changed, lengths}});
            try {
                index.check();
                ++passed;
            } catch (const Error& error) {
                CHECK(error.code() == ErrorCode::format);
                ++refused;
            }
            for (const auto& hit : index.search(terms, 10, {})) CHECK(hit.row < 700);
            for (const auto row : index.rows_with_all(terms)) CHECK(row < 700);
            index.score(terms, std::vector<std::int64_t>{0, 350, 699});
            ++searched;
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::format);
        }
    }
    CHECK(refused > 10000 && searched > 1000 && passed < 5000);
}
