// Searches of rows that are allowed: wherever these lie, and however few they are.
#include <algorithm>
#include <cstring>
#include <set>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/graph_builder.hpp"
#include "memvid/hnsw_graph.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr std::size_t dim = 128, count = 6000, first = 37;
constexpr std::size_t k = 10, spare = 16, skimmed = 1536;

float uniform(Random& random) { return static_cast<float>(random.below(2001)) / 1000 - 1; }

std::vector<float> near(const std::vector<float>& centre, float spread, Random& random) {
    std::vector<float> vector;
    for (const float value : centre) vector.push_back(value + spread * uniform(random));
    return vector;
}

std::vector<float> anywhere(Random& random) { return near(std::vector<float>(dim), 1, random); }

// Vectors in clusters, and the graph of them; every tenth is a copy of the one before.
struct Built {
    explicit Built(std::uint64_t seed) : random(seed) {
        for (int i = 0; i < 60; ++i) centres.push_back(anywhere(random));
        Bytes rows;
        for (std::size_t i = 0; i < count; ++i) {
            if (i % 10 != 9) vector = near(centres[random.below(centres.size())], 0.5, random);
            const auto* bytes = reinterpret_cast<const std::uint8_t*>(vector.data());
            rows.insert(rows.end(), bytes, bytes + 4 * dim);
        }
        GraphOptions options;
        options.dim = dim;
        options.scalar = Scalar::f32;
        options.threads = 2;
        GraphBuilder builder(options);
        builder.add(0, rows, {});
        builder.save(folder.file("graph"), {});
        file = load(folder.file("graph"));
    }

    TemporaryFolder folder;
    Random random;
    std::vector<std::vector<float>> centres;
    std::vector<float> vector;
    Bytes file;
};

// Rows as a list and as bits; those in front of the first and behind the last are set, and mean nothing.
struct Rows {
    explicit Rows(std::vector<std::int64_t> rows) : list(std::move(rows)), words((first + count + 200) / 64) {
        std::sort(list.begin(), list.end());
        const auto set = [&](std::size_t bit) { words[bit / 64] |= std::uint64_t{1} << (bit % 64); };
        for (std::size_t bit = 0; bit < words.size() * 64; ++bit)
            if (bit < first || bit >= first + count) set(bit);
        for (const auto row : list) set(first + static_cast<std::size_t>(row));
    }

    RowSet set() const { return {words, first}; }

    std::vector<std::int64_t> list;
    std::vector<std::uint64_t> words;
};

Rows some_rows(double share, Random& random) {
    std::vector<std::int64_t> rows;
    for (std::size_t row = 0; row < count; ++row)
        if (static_cast<double>(random.below(1000)) < 1000 * share) rows.push_back(static_cast<std::int64_t>(row));
    return Rows(rows);
}

// Those nearest to a vector.
Rows rows_around(const HnswGraph& graph, const std::vector<float>& vector, double share) {
    std::vector<std::int64_t> rows;
    for (const Hit& hit : graph.exact(vector, std::nullopt, static_cast<std::size_t>(share * count), false, {}))
        rows.push_back(hit.row);
    return Rows(rows);
}

// How many of the best rows that are allowed are found.
double recall(const HnswGraph& graph, const std::vector<float>& query, const Rows& rows, std::size_t through) {
    const RowSet allowed = rows.set();
    const auto found = graph.nearest(query, k, 96, spare, {&allowed, false, through, skimmed}, {}).at(0);
    const auto best = graph.exact(query, rows.list, k, false, {});
    std::set<std::uint32_t> right;
    for (const Hit& hit : best) right.insert(hit.row);
    std::size_t hits = 0;
    for (const Hit& hit : found) {
        CHECK(allowed.has(hit.row));
        hits += right.count(hit.row);
    }
    CHECK(found.size() <= best.size());
    return static_cast<double>(hits) / static_cast<double>(right.size());
}

}  // namespace

TEST(what_is_allowed_is_found_wherever_it_lies) {
    Built built(3);
    const HnswGraph graph(built.file, count, dim, Scalar::f32, 1);
    CHECK(graph.nodes() < count);
    for (const std::size_t through : {std::size_t{0}, std::size_t{300}, SIZE_MAX}) {
        double spread = 0, close = 0, far = 0;
        constexpr int rounds = 40;
        for (int round = 0; round < rounds; ++round) {
            const auto query = near(built.centres[built.random.below(60)], 0.4F, built.random);
            auto opposite = query;
            for (float& value : opposite) value = -value;
            spread += recall(graph, query, some_rows(0.02 + 0.02 * round, built.random), through) / rounds;
            close += recall(graph, query, rows_around(graph, query, 0.1 + 0.01 * round), through) / rounds;
            far += recall(graph, query, rows_around(graph, opposite, 0.1 + 0.01 * round), through) / rounds;
        }
        CHECK(spread >= 0.98);
        CHECK(close >= 0.98);
        CHECK(far >= 0.96);
    }
}

TEST(a_few_that_are_allowed_are_found_whatever_the_links) {
    Built built(4);
    const HnswGraph graph(built.file, count, dim, Scalar::f32, 1);
    for (int round = 0; round < 20; ++round) {
        const auto rows = some_rows(0.001 * (1 + 3 * round), built.random);
        CHECK_EQUAL(rows.list.empty() ? 1 : recall(graph, anywhere(built.random), rows, 0), 1.0);
    }
    const Rows none({}), last({count - 1});
    const RowSet nothing = none.set(), one = last.set();
    const auto query = anywhere(built.random);
    CHECK(graph.nearest(query, k, 48, spare, {&nothing, false, 0, skimmed}, {}).at(0).empty());
    CHECK(graph.nearest(query, k, 48, spare, {&nothing, false, SIZE_MAX, skimmed}, {}).at(0).empty());
    const auto found = graph.nearest(query, k, 48, spare, {&one, false, 0, 1}, {}).at(0);
    CHECK(found.size() == 1 && found[0].row == count - 1);
    CHECK(graph.nearest(query, k, 48, spare, {&one, false, 10, 0}, {}).at(0).empty());
}

TEST(a_skim_is_the_same_on_any_number_of_threads) {
    Built built(5);
    const HnswGraph one(built.file, count, dim, Scalar::f32, 1), four(built.file, count, dim, Scalar::f32, 4);
    for (int round = 0; round < 20; ++round) {
        const auto rows = some_rows(0.05 * (1 + round), built.random);
        const RowSet allowed = rows.set();
        const Wanted wanted{&allowed, round % 2 == 1, 0, 30};
        const auto query = anywhere(built.random);
        const auto some = one.nearest(query, k, 48, spare, wanted, {}).at(0);
        const auto same = four.nearest(query, k, 48, spare, wanted, {}).at(0);
        CHECK_EQUAL(some.size(), same.size());
        for (std::size_t i = 0; i < some.size(); ++i)
            CHECK(some[i].row == same[i].row && some[i].score == same[i].score && allowed.has(some[i].row));
    }
}
