// Products of vectors, and the walk of a graph: right ones, and files that lie.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/hnsw_graph.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

float uniform(Random& random) { return static_cast<float>(random.below(2001)) / 1000 - 1; }

std::vector<float> random_query(Random& random, std::size_t dim) {
    std::vector<float> query(dim);
    for (auto& value : query) value = uniform(random);
    return query;
}

Bytes random_row(Random& random, std::size_t dim, Scalar scalar) {
    Bytes row = random.bytes(dim * scalar_bytes(scalar));
    if (scalar == Scalar::f16)
        for (std::size_t i = 0; i < dim; ++i) row[2 * i + 1] &= 0xbb;  // no infinity, no NaN, nothing above 2
    if (scalar == Scalar::f32)
        for (std::size_t i = 0; i < dim; ++i) {
            const float value = uniform(random);
            std::memcpy(row.data() + 4 * i, &value, sizeof value);
        }
    return row;
}

template <typename T>
void put(Bytes& out, T value) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
}

constexpr std::size_t graph_dim = 8;
constexpr std::uint32_t base_room = 8;
constexpr std::uint32_t upper_room = 4;

// A usearch file of i8 vectors: a ring on level 0 with some chords; every fourth node is on level 1 too, in a ring.
Bytes ring_file(std::uint32_t count, std::uint64_t seed) {
    Random random(seed);
    Bytes file;
    put(file, count);
    put(file, static_cast<std::uint32_t>(graph_dim));
    for (std::uint32_t i = 0; i < count; ++i) {
        const Bytes row = random_row(random, graph_dim, Scalar::i8);
        file.insert(file.end(), row.begin(), row.end());
    }
    file.resize(file.size() + 64);
    for (const std::uint64_t number : {std::uint64_t{count}, std::uint64_t{upper_room}, std::uint64_t{base_room},
                                       std::uint64_t{1}, std::uint64_t{0}})
        put(file, number);
    const auto level = [](std::uint32_t i) { return static_cast<std::int16_t>(i % 4 == 0); };
    for (std::uint32_t i = 0; i < count; ++i) put(file, level(i));
    const auto put_links = [&](const std::vector<std::uint32_t>& links, std::uint32_t room) {
        put(file, static_cast<std::uint32_t>(links.size()));
        for (std::uint32_t i = 0; i < room; ++i) put(file, i < links.size() ? links[i] : 0xffffffffU);
    };
    for (std::uint32_t i = 0; i < count; ++i) {
        put(file, std::uint64_t{i});
        put(file, level(i));
        std::vector<std::uint32_t> links = {(i + 1) % count, (i + count - 1) % count};
        for (int k = 0; k < 5; ++k) links.push_back(static_cast<std::uint32_t>(random.below(count)));
        put_links(links, base_room);
        if (level(i) == 1) put_links({(i + 4) % count / 4 * 4, (i + count - 4) % count / 4 * 4}, upper_room);
    }
    return file;
}

// A usearch file of single floats in which no node has a neighbour.
Bytes scattered_file(const std::vector<std::vector<float>>& rows) {
    Bytes file;
    put(file, static_cast<std::uint32_t>(rows.size()));
    put(file, static_cast<std::uint32_t>(4 * rows[0].size()));
    for (const auto& row : rows)
        for (const float value : row) put(file, value);
    file.resize(file.size() + 64);
    for (const std::uint64_t number :
         {std::uint64_t{rows.size()}, std::uint64_t{1}, std::uint64_t{1}, std::uint64_t{0}, std::uint64_t{0}})
        put(file, number);
    file.resize(file.size() + 2 * rows.size());         // all on level 0
    file.resize(file.size() + (10 + 8) * rows.size());  // key and level, and a list with none of one neighbour
    return file;
}

}  // namespace

TEST(all_halves_are_converted_right) {
    const PreparedQuery query(std::vector<float>{1}, Scalar::f16);
    const PreparedQuery plain(std::vector<float>{1}, Scalar::f16, Instructions::portable);
    for (std::uint32_t half = 0; half < 0x10000; ++half) {
        const int exponent = static_cast<int>(half >> 10 & 31);
        if (exponent == 31) continue;
        const double fraction = (half & 1023) + (exponent == 0 ? 0 : 1024);
        const double value = std::ldexp(fraction, std::max(exponent, 1) - 25) * (half >= 0x8000 ? -1 : 1);
        const Bytes row = {static_cast<std::uint8_t>(half), static_cast<std::uint8_t>(half >> 8)};
        CHECK_EQUAL(query.products(row.data()).dot, static_cast<float>(value));
        CHECK_EQUAL(plain.products(row.data()).dot, static_cast<float>(value));
    }
}

TEST(fast_products_are_the_portable_ones) {
    Random random(1);
    for (const auto scalar : {Scalar::i8, Scalar::f16, Scalar::f32})
        for (std::size_t dim = 1; dim < 140; ++dim) {
            const std::vector<float> vector = random_query(random, dim);
            Bytes row = random_row(random, dim, scalar);
            if (scalar == Scalar::i8 && dim % 3 == 0) row[random.below(dim)] = 0x80;  // which no writer of ours makes
            const PreparedQuery plain(vector, scalar, Instructions::portable);
            const Products slow = plain.products(row.data()), slow_floats = plain.float_products(row.data());
            for (const auto instructions : {Instructions::avx2, Instructions::avx512_vnni}) {
                if (instructions > best_instructions()) continue;
                const PreparedQuery query(vector, scalar, instructions);
                const Products fast = query.products(row.data()), floats = query.float_products(row.data());
                const float slack = (scalar == Scalar::i8 ? 0.0F : 1e-4F) * static_cast<float>(dim);
                CHECK(std::abs(fast.dot - slow.dot) <= slack);
                CHECK(std::abs(fast.norm - slow.norm) <= slack);
                CHECK(std::abs(floats.dot - slow_floats.dot) <= 0.01F * static_cast<float>(dim));
                CHECK(std::abs(floats.norm - slow_floats.norm) <= 0.01F * static_cast<float>(dim));
                CHECK_EQUAL(query.cosine(row.data()), plain.cosine(row.data()));
            }
            CHECK(std::abs(plain.cosine(row.data())) <= 1.0001F);
        }
}

TEST(vectors_without_a_direction_are_not_like_anything) {
    for (const auto scalar : {Scalar::i8, Scalar::f16, Scalar::f32}) {
        const Bytes nothing(4 * scalar_bytes(scalar));
        Random random(2);
        const Bytes row = random_row(random, 4, scalar);
        CHECK_EQUAL(PreparedQuery(std::vector<float>(4), scalar).cosine(row.data()), 0.0F);
        CHECK_EQUAL(PreparedQuery(std::vector<float>{1, 2, 3, 4}, scalar).cosine(nothing.data()), 0.0F);
        const float huge = std::numeric_limits<float>::max();
        CHECK(std::isfinite(PreparedQuery(std::vector<float>{huge, -huge, huge, 0}, scalar).cosine(row.data())));
    }
    for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        Bytes row;
        for (int i = 0; i < 4; ++i) put(row, value);
        CHECK_EQUAL(PreparedQuery(std::vector<float>{1, 2, 3, 4}, Scalar::f32).cosine(row.data()), 0.0F);
    }
}

TEST(a_wide_beam_finds_what_a_comparison_with_all_finds) {
    Random random(5);
    const Bytes file = ring_file(600, 3);
    const HnswGraph graph(file, 600, graph_dim, Scalar::i8, 2);
    for (int round = 0; round < 50; ++round) {
        const auto query = random_query(random, graph_dim);
        const auto wide = graph.nearest(query, 5, 600, 16, {}, {}).at(0);
        const auto all = graph.exact(query, std::nullopt, 5, false, {});
        CHECK_EQUAL(wide.size(), 5U);
        for (std::size_t i = 0; i < 5; ++i) CHECK(wide[i].row == all[i].row && wide[i].score == all[i].score);
        const auto narrow = graph.nearest(query, 5, 1, 0, {}, {}).at(0);
        CHECK_EQUAL(narrow.size(), 5U);
    }
    CHECK_EQUAL(graph.nearest(random_query(random, graph_dim), 1000, 1, 1000, {}, {}).at(0).size(), 600U);
    CHECK_EQUAL(graph.nearest(random_query(random, graph_dim), 0, 0, 0, {}, {}).at(0).size(), 0U);
}

// Two rows that single precision puts in the wrong order: behind large products (one in each of 8 sums) the small ones
// are lost, in front of them they add up. The row that loses them is in truth the nearer one.
TEST(an_exact_search_does_not_trust_single_precision) {
    constexpr std::size_t dim = 1 << 16, sums = 8;
    std::vector<float> query(dim, 2.4e-4F), loses(dim, 2.4e-4F), adds(dim, 2.4e-4F);
    for (std::size_t i = 0; i < sums; ++i) {
        query[i] = query[dim - 1 - i] = loses[i] = adds[dim - 1 - i] = 1;
        loses[dim - 1 - i] = adds[i] = 0;
    }
    query[dim / 2] = loses[dim / 2] = 0;
    adds[dim / 2] = 0.04F;
    const PreparedQuery prepared(query, Scalar::f32);
    const Bytes file = scattered_file({adds, loses});
    const std::uint8_t *first = file.data() + 8, *second = first + 4 * dim;
    const auto single = [&](const Products& p) { return p.dot / (std::sqrt(p.norm) * prepared.norm()); };
    CHECK(prepared.cosine(first) < prepared.cosine(second));
    CHECK(single(prepared.float_products(first)) > single(prepared.float_products(second)) + 5e-5F);
    const HnswGraph graph(file, 2, dim, Scalar::f32, 1);
    const auto best = graph.exact(query, std::nullopt, 1, false, {});
    CHECK(best.size() == 1 && best[0].row == 1);
}

TEST(a_walk_ends_where_no_links_go_on) {
    const Bytes file = scattered_file({{1, 0}, {0, 1}, {1, 1}});
    const HnswGraph graph(file, 3, 2, Scalar::f32, 1);
    const auto found = graph.nearest(std::vector<float>{0, 1}, 3, 10, 16, {}, {}).at(0);
    CHECK(found.size() == 1 && found[0].row == 0);
}

TEST(an_exact_search_is_a_sorted_list) {
    Random random(8);
    constexpr std::uint32_t count = 40000;  // several parts
    const Bytes file = ring_file(count, 9);
    const HnswGraph graph(file, count, graph_dim, Scalar::i8, 2);
    for (int round = 0; round < 5; ++round) {
        const auto query = random_query(random, graph_dim);
        const PreparedQuery prepared(query, Scalar::i8);
        std::vector<Hit> all;
        std::vector<std::int64_t> odd;
        for (std::uint32_t row = 0; row < count; ++row) {
            all.push_back({row, prepared.cosine(file.data() + 8 + row * graph_dim)});
            if (row % 2 == 1) odd.push_back(row);
        }
        std::stable_sort(all.begin(), all.end(), [](const Hit& a, const Hit& b) { return a.score > b.score; });
        const auto best = graph.exact(query, std::nullopt, 50, false, {});
        CHECK_EQUAL(best.size(), 50U);
        for (std::size_t i = 0; i < 50; ++i) CHECK(best[i].row == all[i].row && best[i].score == all[i].score);
        std::erase_if(all, [](const Hit& hit) { return hit.row % 2 == 0; });
        const auto best_odd = graph.exact(query, odd, 50, false, {});
        for (std::size_t i = 0; i < 50; ++i) CHECK(best_odd[i].row == all[i].row);
    }
    const auto query = random_query(random, graph_dim);
    CHECK_EQUAL(graph.exact(query, std::nullopt, 2 * count, false, {}).size(), std::size_t{count});
    CHECK_EQUAL(graph.exact(query, std::vector<std::int64_t>{}, 5, false, {}).size(), 0U);
    CHECK_ERROR(config, graph.exact(query, std::vector<std::int64_t>{count}, 1, false, {}));
    CHECK_ERROR(config, graph.exact(query, std::vector<std::int64_t>{-1}, 1, false, {}));
}

TEST(a_batch_is_the_queries_one_by_one_on_any_thread) {
    Random random(6);
    const Bytes file = ring_file(600, 4);
    const HnswGraph graph(file, 600, graph_dim, Scalar::i8, 2);
    const auto queries = random_query(random, graph_dim * 40);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; ++thread)
        threads.emplace_back([&] {
            const auto batch = graph.nearest(queries, 5, 40, 16, {}, {});
            for (std::size_t i = 0; i < 40; ++i) {
                const auto one = graph.nearest(std::span(queries).subspan(i * graph_dim, graph_dim), 5, 40, 16, {}, {});
                for (std::size_t k = 0; k < 5; ++k)
                    wrong += batch[i][k].row != one[0][k].row || batch[i][k].score != one[0][k].score;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
}

TEST(vectors_that_are_no_numbers_keep_no_others_from_being_found) {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const float huge = std::numeric_limits<float>::max();
    const Bytes file =
        scattered_file({{inf, 1}, {nan, nan}, {1, 0}, {-inf, inf}, {huge, huge}, {0, 1}, {nan, 1}, {inf, inf}});
    const HnswGraph graph(file, 8, 2, Scalar::f32, 1);
    for (const auto& query : {std::vector<float>{1, 0}, {0, 1}, {nan, 1}, {inf, 1}, {-inf, inf}, {huge, -huge}})
        for (std::size_t k = 1; k <= 8; ++k) {
            const auto hits = graph.exact(query, std::nullopt, k, false, {});
            CHECK_EQUAL(hits.size(), k);
            for (const auto& hit : hits) CHECK(std::isfinite(hit.score));
            CHECK(graph.nearest(query, k, 8, 8, {}, {}).at(0).size() == 1);
        }
    const auto best = graph.exact(std::vector<float>{1, 0}, std::nullopt, 1, false, {});
    CHECK(best.at(0).row == 2);
}

TEST(files_that_lie_are_errors) {
    const Bytes sound = ring_file(40, 5);
    Random random(7);
    const auto query = random_query(random, graph_dim);
    for (std::size_t size = 0; size < sound.size(); size += 7)
        CHECK_ERROR(format, HnswGraph(ByteView(sound).first(size), 40, graph_dim, Scalar::i8, 1));
    CHECK_ERROR(format, HnswGraph(sound, 41, graph_dim, Scalar::i8, 1));
    CHECK_ERROR(format, HnswGraph(sound, 0, graph_dim, Scalar::i8, 1));
    for (const std::size_t shift : {16, 29, 32, 60, 61, 63}) {  // products that come out small again
        CHECK_ERROR(format, HnswGraph(sound, std::size_t{1} << shift, graph_dim, Scalar::i8, 1));
        CHECK_ERROR(format, HnswGraph(sound, 40, std::size_t{1} << shift, Scalar::i8, 1));
        CHECK_ERROR(format, HnswGraph(sound, 40, (std::size_t{1} << shift) + graph_dim, Scalar::i8, 1));
        CHECK_ERROR(format, HnswGraph(sound, 40, std::size_t{1} << shift, Scalar::f32, 1));
    }
    int searched = 0, refused = 0;
    for (int round = 0; round < 20000; ++round) {
        Bytes changed = sound;
        for (std::size_t i = random.below(3); i < 3; ++i)
            changed[random.below(changed.size())] = static_cast<std::uint8_t>(random.next());
        try {
            const HnswGraph graph(changed, 40, graph_dim, Scalar::i8, 1);
            const auto found = graph.nearest(query, 5, 20, 16, {}, {});
            for (const auto& hit : found.at(0)) CHECK(hit.row < 40);
            ++searched;
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::format);
            ++refused;
        }
    }
    CHECK(searched > 1000 && refused > 1000);
}
