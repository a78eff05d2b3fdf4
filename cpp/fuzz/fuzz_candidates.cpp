// The graphs and words of one segment or two, searched together: any bytes, and files that fit their heads, of the same
// rows or of others.
#include <bit>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph_input.hpp"
#include "memvid/candidate_search.hpp"
#include "memvid/error.hpp"
#include "postings_input.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Kind : std::uint8_t { two_segments = 1, by_words = 2, by_meaning = 4, chosen_rows = 8, two_questions = 16 };
enum AnyBytes : std::uint8_t { any_graph = 1, any_words = 2 };
enum Lie : std::uint8_t { other_scalar = 1, other_dim, more_words };  // of the second segment, or of the last

// The sizes of all parts are in front: a longer one moves no other.
struct Segment {
    Segment(Input& head, Scalar scalar, std::size_t dim)
        : any(head.u8()), shape{scalar, dim, 1 + head.u8() % std::size_t{48}, head.u8() % std::size_t{8}} {
        const std::size_t width = head.u8(), through = head.u8(), skimmed = head.u8();
        if (width > 0) plan = {width, through == 0xff ? SIZE_MAX : through, skimmed};
        graph_bytes = head.u16();
        words_bytes = head.u16();
    }

    void take(Input& input, bool has_more_words) {
        Input graph_part = input.part(graph_bytes), words_part = input.part(words_bytes);
        graph = (any & any_graph) != 0 ? copy_of(graph_part.rest()) : fitting_graph(graph_part, shape);
        if ((any & any_words) != 0) {
            words = copy_of(words_part.rest());
        } else {
            const std::uint32_t divisor = 1 + words_part.u8() % 12U;
            words = fitting_section(words_part, static_cast<std::uint32_t>(shape.rows()) + has_more_words, divisor);
        }
    }

    std::uint8_t any;
    GraphShape shape;
    std::optional<GraphWalkPlan> plan;
    std::size_t graph_bytes, words_bytes;
    Bytes graph, words, lengths;
};

std::vector<Segment> segments_of(Input& head, std::uint8_t kind, std::uint8_t lie) {
    const auto scalar = static_cast<Scalar>(head.u8() % 5);
    const std::size_t dim = 1 + head.u8() % std::size_t{is_code(scalar) ? 140U : 20U};
    std::vector<Segment> segments;
    segments.emplace_back(head, scalar, dim);
    const auto other = lie == other_scalar ? static_cast<Scalar>((static_cast<int>(scalar) + 1) % 5) : scalar;
    Segment second(head, other, dim + (lie == other_dim ? 1 : 0));
    if ((kind & two_segments) != 0) segments.push_back(std::move(second));
    return segments;
}

// Rows that were chosen, without some that were deleted; nothing, where all may be found.
std::vector<std::uint64_t> set_of(Input& head, std::size_t rows, bool are_chosen) {
    std::uint64_t pattern = head.u32();
    pattern |= std::uint64_t{head.u32()} << 32;
    if (!are_chosen) pattern = ~std::uint64_t{0};
    std::vector<std::uint64_t> set((rows + 63) / 64);
    for (std::size_t i = 0; i < set.size(); ++i) set[i] = std::rotl(pattern, static_cast<int>(13 * i));
    bool any_deleted = false;
    for (int i = 0; i < 4; ++i) {
        const std::size_t row = head.u8();
        if (row >= rows) continue;
        set[row / 64] &= ~(std::uint64_t{1} << (row % 64));
        any_deleted = true;
    }
    return are_chosen || any_deleted ? set : std::vector<std::uint64_t>();
}

std::vector<float> vector_of(Input& input, std::size_t dim) {
    std::vector<float> vector(dim);
    for (auto& value : vector) {
        value = static_cast<float>(static_cast<std::int8_t>(input.u8()));
        if (value == -128) value = std::bit_cast<float>(input.u32());
    }
    return vector;
}

// Some that are in the sections, by their numbers, and some of any bytes.
std::vector<std::string> terms_of(Input& input, const std::vector<Segment>& segments) {
    std::vector<std::string> known, terms;
    for (const auto& segment : segments) {
        try {
            Postings(segment.words).each_between(
                "", "\xff\xff", [&](std::string_view term, const TermPostings&) { known.emplace_back(term); });
        } catch (const Error&) {  // those in front of the damage, then
        }
    }
    for (std::size_t count = input.u8() % 24; count > 0; --count) {
        const std::uint8_t which = input.u8();
        const ByteView bytes = input.bytes(which < 0x80 ? 0 : which % 8);
        terms.push_back(which < 0x80 && !known.empty() ? known[which % known.size()]
                                                       : std::string(bytes.begin(), bytes.end()));
    }
    return terms;
}

// What the segments are opened as; they have to outlive it.
struct Index {
    Index(std::vector<Segment>& segments, bool has_words) {
        std::vector<WordSegment> sections;
        for (auto& segment : segments) {
            const auto& shape = segment.shape;
            parts.push_back(&graphs.emplace_back(segment.graph, shape.rows(), shape.dim, shape.scalar, 1));
            rows += shape.rows();
            if (!has_words) continue;
            const std::size_t said = Postings(segment.words).rows();
            segment.lengths = some_lengths(std::min(said, most_tried_rows));
            sections.push_back({segment.words, segment.lengths});
        }
        if (has_words) words.emplace(sections);
    }

    bool fits() const {
        return graphs.front().scalar() == graphs.back().scalar() && graphs.front().dim() == graphs.back().dim() &&
               (!words || words->rows() == rows);
    }

    std::size_t rows = 0;
    std::deque<HnswGraph> graphs;
    std::vector<const HnswGraph*> parts;
    std::optional<WordIndex> words;
};

struct Asked {
    std::vector<Question> questions;
    std::size_t k, spare;
    std::vector<std::optional<GraphWalkPlan>> plans;
    std::vector<std::uint64_t> set;

    bool may_find(std::uint32_t row) const { return set.empty() || RowSet{set}.has(row); }
};

bool are_same(const Candidate& a, const Candidate& b) {
    return a.row == b.row && a.cosine == b.cosine && a.keyword == b.keyword && a.relevance == b.relevance;
}

float cosine(const CandidateSearch& search, const PreparedQuery& query, std::uint32_t row) {
    std::size_t segment = 0;
    for (; row >= search.graph(segment).count(); ++segment)
        row -= static_cast<std::uint32_t>(search.graph(segment).count());
    return search.graph(segment).cosine(query, row);
}

void check_order(const Candidates& found, std::size_t rows, const Asked& asked) {
    std::map<std::uint32_t, std::size_t> places;
    for (std::size_t i = 0; i < found.best.size(); ++i) {
        const Candidate& each = found.best[i];
        require(each.row < rows && asked.may_find(each.row), "what is found may be");
        require(places.emplace(each.row, i).second, "a row is found once");
        require(std::abs(each.cosine) <= 1 && std::isfinite(each.relevance), "a cosine and a relevance are numbers");
        require(each.keyword >= 0 && std::isfinite(each.keyword), "so is what words score");
        if (i == 0) continue;
        const Candidate& before = found.best[i - 1];
        require(before.relevance > each.relevance || (before.relevance == each.relevance && before.row < each.row),
                "the most relevant come first");
    }
}

void check(const CandidateSearch& search, const WordIndex* words, const Question& question, const Asked& asked,
           const Candidates& found) {
    check_order(found, search.rows(), asked);
    std::size_t allowed = 0;
    for (std::uint32_t row = 0; row < search.rows(); ++row) allowed += asked.may_find(row) ? 1 : 0;
    const std::size_t nearest = question.vector.empty() ? 0 : std::min(asked.k, allowed);
    require(found.nearest == nearest, "as many are found by meaning as there are");
    require(found.best.size() >= nearest && found.best.size() <= nearest + asked.k, "there are k of each kind");
    require(found.share >= 0 && found.share <= 1 && std::abs(found.farthest) <= 1, "a share is a part of one");
    const auto best = words == nullptr || question.terms.empty() ? std::vector<ScoredRow>()
                                                                 : words->search(question.terms, asked.k, asked.set);
    for (const auto& hit : best)
        require(std::any_of(found.best.begin(), found.best.end(),
                            [&](const Candidate& each) { return each.row == hit.row && each.keyword == hit.score; }),
                "what ranks best by words is found");
    if (question.vector.empty()) {
        for (const auto& each : found.best) require(each.cosine == 0, "nothing was asked by meaning");
        return;
    }
    const PreparedQuery query = search.graph(0).prepared(question.vector);
    for (const auto& each : found.best)
        require(each.cosine == cosine(search, query, each.row), "a cosine is that of the row");
}

void search_all(const CandidateSearch& search, const WordIndex* words, const Asked& asked) {
    const auto found = search.search(asked.questions, asked.k, asked.plans, asked.spare, asked.set, {});
    require(found.size() == asked.questions.size(), "each question is answered");
    for (std::size_t i = 0; i < found.size(); ++i) {
        check(search, words, asked.questions[i], asked, found[i]);
        if (found.size() == 1) continue;
        const auto one = search.search({&asked.questions[i], 1}, asked.k, asked.plans, asked.spare, asked.set, {});
        const auto &alone = one[0].best, &together = found[i].best;
        require(std::equal(alone.begin(), alone.end(), together.begin(), together.end(), are_same),
                "a question finds alone what it finds among others");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::uint8_t kind = input.u8(), lie = input.u8();
    Asked asked{{}, input.u8() % std::size_t{40}, input.u8() % std::size_t{20}, {}, {}};
    std::vector<Segment> segments = segments_of(input, kind, lie);
    std::size_t rows = 0;
    for (const auto& segment : segments) {
        rows += segment.shape.rows();
        asked.plans.push_back(segment.plan);
    }
    asked.set = set_of(input, rows, (kind & chosen_rows) != 0);
    Input question = input.part(input.u16());
    for (auto& segment : segments) segment.take(input, lie == more_words && &segment == &segments.back());
    const bool has_vector = (kind & by_meaning) != 0;
    std::vector<float> vector = vector_of(question, has_vector ? segments[0].shape.dim : 0), opposite = vector;
    for (auto& value : opposite) value = -value;
    asked.questions.push_back({vector, terms_of(question, segments)});
    if ((kind & two_questions) != 0) asked.questions.push_back({opposite, terms_of(question, segments)});
    bool is_refused = false;
    try {
        const Index index(segments, (kind & by_words) != 0);
        const WordIndex* const words = index.words ? &*index.words : nullptr;
        is_refused = !index.fits();
        const CandidateSearch search(index.parts, words, 1);
        require(!is_refused, "parts of other indexes are refused");
        for (std::size_t i = 0; i < segments.size(); ++i)
            is_refused = is_refused || (has_vector && asked.plans[i] && !index.graphs[i].is_linked());
        search_all(search, words, asked);
        require(!is_refused, "there are no walks without a graph");
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format || (is_refused && error.code() == ErrorCode::config), "a file lies");
    }
    return 0;
}
