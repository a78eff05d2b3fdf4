// Meaning and words in one search: what many threads find at once, and parts that are not of one index.
#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <thread>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/candidate_search.hpp"
#include "memvid/graph_builder.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr std::size_t dim = 16;

using Plans = std::vector<std::optional<GraphWalkPlan>>;

std::vector<float> random_vector(Random& random) {
    std::vector<float> vector(dim);
    for (auto& value : vector) value = static_cast<float>(random.below(255)) - 127;
    return vector;
}

// Of random vectors: i8, or for codes i16 that are not negative.
Bytes graph_of(std::size_t rows, Scalar scalar, std::size_t dims, Random& random) {
    const TemporaryFolder folder;
    GraphBuilder builder({dims, scalar, 8, 40, 2});
    Bytes vectors;
    for (std::size_t i = 0; i < rows * dims; ++i) {
        vectors.push_back(static_cast<std::uint8_t>(random.below(255) + 129));  // no -128
        if (is_code(scalar)) vectors.push_back(static_cast<std::uint8_t>(random.below(16)));
    }
    builder.add(0, vectors, {});
    builder.save(folder.file("graph"), {});
    return load(folder.file("graph"));
}

std::string word(std::size_t number) { return std::string("w").append(std::to_string(number)); }

Bytes words_of(std::size_t rows, Random& random) {
    PostingsWriter writer;
    for (std::size_t row = 0; row < rows; ++row) {
        std::string text;
        for (int i = 0; i < 8; ++i) text += word(random.below(1 + random.below(60))) + " ";
        writer.add(text);
    }
    return finished(writer);
}

// Segments with their graphs and words.
class Index {
public:
    void add(std::size_t rows, Scalar scalar = Scalar::i8, std::size_t dims = dim) {
        const Bytes& graph = files_.emplace_back(graph_of(rows, scalar, dims, random_));
        graphs_.push_back(&opened_.emplace_back(graph, rows, dims, scalar, 2));
        const Bytes& words = files_.emplace_back(words_of(rows, random_));
        sections_.push_back({words, files_.emplace_back(random_.bytes(rows))});
    }

    const std::vector<const HnswGraph*>& graphs() const { return graphs_; }
    WordIndex words() const { return WordIndex(sections_); }

private:
    Random random_{1};
    std::deque<Bytes> files_;
    std::deque<HnswGraph> opened_;
    std::vector<const HnswGraph*> graphs_;
    std::vector<WordSegment> sections_;
};

struct Case {
    std::vector<Question> questions;
    Plans plans;
    std::vector<std::uint64_t> allowed;

    std::vector<Candidates> ask(const CandidateSearch& search) const {
        return search.search(questions, 10, plans, 16, allowed, {});
    }
};

bool are_same(const Candidates& a, const Candidates& b) {
    return a.share == b.share && a.nearest == b.nearest && a.farthest == b.farthest &&
           std::equal(a.best.begin(), a.best.end(), b.best.begin(), b.best.end(),
                      [](const Candidate& one, const Candidate& other) {
                          return one.row == other.row && one.cosine == other.cosine && one.keyword == other.keyword &&
                                 one.relevance == other.relevance;
                      });
}

bool are_all_same(const std::vector<Candidates>& a, const std::vector<Candidates>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), are_same);
}

std::vector<std::uint64_t> one_row_in(std::size_t n, std::size_t rows, Random& random) {
    std::vector<std::uint64_t> set((rows + 63) / 64);
    for (std::size_t row = 0; row < rows; ++row)
        set[row / 64] |= std::uint64_t{random.below(n) == 0 ? 1U : 0U} << (row % 64);
    return set;
}

}  // namespace

TEST(many_threads_find_at_once_what_one_finds) {
    Index index;
    index.add(700);
    index.add(500);
    const WordIndex words = index.words();
    const CandidateSearch alone(index.graphs(), &words, 1), shared(index.graphs(), &words, 3);
    Random random(2);
    std::vector<std::vector<float>> vectors;
    for (int i = 0; i < 9; ++i) vectors.push_back(random_vector(random));
    std::vector<Question> questions;  // by meaning, by words, by both
    for (std::size_t i = 0; i < vectors.size(); ++i) {
        std::vector<std::string> terms;
        for (std::size_t term = 0; term < i % 3 * 4; ++term) terms.push_back(word(random.below(60)));
        questions.push_back({i % 3 == 1 ? std::span<const float>() : vectors[i], terms});
    }
    const GraphWalkPlan whole{40, SIZE_MAX, 0}, skimmed{40, 60, 40};
    std::vector<Case> cases;
    const auto add = [&](const Plans& plans, const std::vector<std::uint64_t>& allowed) {
        cases.push_back({questions, plans, allowed});
        for (const auto& question : questions) cases.push_back({std::vector{question}, plans, allowed});
    };
    add({whole, whole}, {});
    add({std::nullopt, whole}, {});
    add({whole, whole}, one_row_in(3, 1200, random));
    add({skimmed, std::nullopt}, one_row_in(20, 1200, random));
    std::vector<std::vector<Candidates>> expected;
    for (const auto& each : cases) expected.push_back(each.ask(alone));
    for (std::size_t i = 0; i < cases.size(); i += 1 + questions.size())  // a batch, and its questions one by one
        for (std::size_t j = 0; j < questions.size(); ++j) {
            CHECK(are_same(expected[i][j], expected[i + 1 + j].at(0)));
            CHECK(expected[i][j].best.size() >= 10);
        }
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (std::size_t i = 0; i < 3 * cases.size(); ++i) {
                const std::size_t at = (i + thread * questions.size()) % cases.size();
                wrong += are_all_same(cases[at].ask(shared), expected[at]) ? 0 : 1;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
}

TEST(parts_that_are_not_of_one_index_are_refused) {
    Index sound, kinds, dims;
    sound.add(60);
    sound.add(50);
    kinds.add(60);
    kinds.add(50, Scalar::code4);
    dims.add(60);
    dims.add(50, Scalar::i8, dim + 1);
    const WordIndex words = sound.words();
    CHECK_EQUAL(CandidateSearch(sound.graphs(), &words, 1).rows(), 110U);
    CHECK_ERROR(config, CandidateSearch(kinds.graphs(), &words, 1));
    CHECK_ERROR(config, CandidateSearch(dims.graphs(), &words, 1));
    CHECK_ERROR(config, CandidateSearch({sound.graphs()[0]}, &words, 1));
}

TEST(a_plan_for_a_segment_without_a_graph_is_an_error) {
    Index index;
    index.add(60, Scalar::code1);
    const CandidateSearch search(index.graphs(), nullptr, 1);
    Random random(3);
    const std::vector<float> vector = random_vector(random);
    const std::vector<Question> questions = {Question{vector, {}}};
    const auto ask = [&](std::optional<GraphWalkPlan> plan) { return Case{questions, Plans{plan}, {}}.ask(search); };
    CHECK_EQUAL(ask(std::nullopt).at(0).best.size(), 10U);
    CHECK_ERROR(config, ask(GraphWalkPlan{40, SIZE_MAX, 0}));
}
