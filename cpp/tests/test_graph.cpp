// Graphs that are built: the same bytes however, every vector found, copies kept together.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/graph_builder.hpp"
#include "memvid/graph_file.hpp"
#include "memvid/half_float.hpp"
#include "memvid/hnsw_graph.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr Scalar scalars[] = {Scalar::i8, Scalar::f16, Scalar::f32};

std::vector<Instructions> all_instructions() {
    std::vector<Instructions> all;
    for (const auto each : {Instructions::portable, Instructions::avx2, Instructions::avx512_vnni})
        if (each <= best_instructions()) all.push_back(each);
    return all;
}

float uniform(Random& random) { return static_cast<float>(random.below(2001)) / 1000 - 1; }

// Components that a vector may have, from -127 to 127 or from about -2 to 2.
Bytes random_row(Random& random, std::size_t dim, Scalar scalar) {
    Bytes row = random.bytes(dim * scalar_bytes(scalar));
    for (std::size_t i = 0; i < dim; ++i) {
        if (scalar == Scalar::i8 && row[i] == 0x80) row[i] = 0x81;
        if (scalar == Scalar::f16) row[2 * i + 1] &= 0xbb;
        const float value = uniform(random);
        if (scalar == Scalar::f32) std::memcpy(row.data() + 4 * i, &value, sizeof value);
    }
    return row;
}

// Rows in clusters, as those of texts are: a few components differ from the cluster's.
Bytes clustered_rows(std::size_t count, std::size_t dim, Scalar scalar, std::uint64_t seed) {
    Random random(seed);
    std::vector<Bytes> centres;
    for (std::size_t i = 0; i < 1 + count / 40; ++i) centres.push_back(random_row(random, dim, scalar));
    Bytes rows;
    for (std::size_t i = 0; i < count; ++i) {
        Bytes row = centres[random.below(centres.size())];
        const Bytes other = random_row(random, dim, scalar);
        const std::size_t size = scalar_bytes(scalar), at = random.below(dim) * size;
        const std::size_t end = std::min(row.size(), at + (1 + dim / 3) * size);
        std::copy(other.begin() + static_cast<std::ptrdiff_t>(at), other.begin() + static_cast<std::ptrdiff_t>(end),
                  row.begin() + static_cast<std::ptrdiff_t>(at));
        rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
}

Bytes built(const GraphOptions& options, ByteView rows, std::size_t portion = SIZE_MAX) {
    const TemporaryFolder folder;
    GraphBuilder builder(options);
    const std::size_t bytes = builder.row_bytes(), count = rows.size() / bytes;
    for (std::size_t i = 0; i < count; i += std::min(portion, count))
        builder.add(i, rows.subspan(i * bytes, std::min(portion, count - i) * bytes), {});
    builder.save(folder.file("graph"), {});
    return load(folder.file("graph"));
}

template <typename T>
T number_at(ByteView file, std::size_t at) {
    T value;
    std::memcpy(&value, file.data() + at, sizeof value);
    return value;
}

// How many nodes of a file cannot be reached from its entry on level 0; checks that what is unused is zero.
std::size_t unreachable(ByteView file) {
    const auto count = number_at<std::uint32_t>(file, 0);
    const std::size_t head = 8 + std::size_t{count} * number_at<std::uint32_t>(file, 4) + 64;
    const auto upper = number_at<std::uint64_t>(file, head + 8), base = number_at<std::uint64_t>(file, head + 16);
    const auto entry = static_cast<std::uint32_t>(number_at<std::uint64_t>(file, head + 32));
    std::vector<std::vector<std::uint32_t>> links(count);
    std::size_t at = head + 40 + 2 * std::size_t{count};
    for (std::uint32_t node = 0; node < count; ++node) {
        const auto level = number_at<std::int16_t>(file, at + 8);
        CHECK_EQUAL(level, number_at<std::int16_t>(file, head + 40 + 2 * node));
        at += 10;
        for (int l = 0; l <= level; ++l) {
            const std::size_t room = l == 0 ? base : upper;
            const auto used = number_at<std::uint32_t>(file, at);
            CHECK(used <= room);
            std::set<std::uint32_t> distinct;
            for (std::size_t i = 0; i < room; ++i) {
                const auto other = number_at<std::uint32_t>(file, at + 4 + 4 * i);
                CHECK(i < used ? other < count && other != node && distinct.insert(other).second : other == 0);
                if (l == 0 && i < used) links[node].push_back(other);
            }
            at += 4 + 4 * room;
        }
    }
    std::vector<bool> reached(count);
    std::vector<std::uint32_t> ahead = {entry};
    std::size_t left = count - 1;
    for (reached[entry] = true; !ahead.empty();) {
        const std::uint32_t node = ahead.back();
        ahead.pop_back();
        for (const auto other : links[node]) {
            if (reached[other]) continue;
            reached[other] = true;
            ahead.push_back(other);
            --left;
        }
    }
    return left;
}

std::vector<float> as_floats(ByteView row, Scalar scalar) {
    std::vector<float> values;
    for (std::size_t i = 0; i < row.size(); i += scalar_bytes(scalar))
        values.push_back(scalar == Scalar::i8    ? static_cast<std::int8_t>(row[i])
                         : scalar == Scalar::f16 ? half_to_float(number_at<std::uint16_t>(row, i))
                                                 : number_at<float>(row, i));
    return values;
}

bool same(const std::vector<Hit>& a, const std::vector<Hit>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Hit& x, const Hit& y) { return x.row == y.row && x.score == y.score; });
}

struct Interrupted {};

}  // namespace

TEST(products_have_the_same_bits_by_all_instructions) {
    Random random(1);
    for (const auto scalar : scalars)
        for (const std::size_t dim : {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 100, 384, 385}) {
            const RowProducts portable(scalar, dim, Instructions::portable);
            StableArray rows(portable.stride());
            rows.grow_to(12);
            std::vector<const std::uint8_t*> others;
            for (std::size_t i = 0; i < 12; ++i) {
                Bytes row = random_row(random, dim, scalar);
                if (scalar == Scalar::i8 && i < 4) std::fill(row.begin(), row.end(), i % 2 == 0 ? 0x7f : 0x81);
                std::copy(row.begin(), row.end(), rows[i]);
                others.push_back(rows[i]);
            }
            for (const auto instructions : all_instructions()) {
                const RowProducts fast(scalar, dim, instructions);
                for (std::size_t count = 0; count <= 12; ++count)
                    for (std::size_t row = 0; row < 12; ++row) {
                        float expected[12], found[12];
                        portable.dots(rows[row], std::span(others).first(count), expected);
                        fast.dots(rows[row], std::span(others).first(count), found);
                        CHECK(std::memcmp(expected, found, count * sizeof(float)) == 0);
                    }
            }
            double exact = 0;
            const auto a = as_floats({rows[4], portable.row_bytes()}, scalar);
            const auto b = as_floats({rows[5], portable.row_bytes()}, scalar);
            for (std::size_t i = 0; i < dim; ++i) exact += double{a[i]} * b[i];
            CHECK(std::abs(portable.dot(rows[4], rows[5]) - exact) <= 1e-5 * static_cast<double>(dim));
        }
}

TEST(a_graph_has_the_same_bytes_however_it_is_built) {
    for (const auto scalar : scalars) {
        const std::size_t dim = 24;
        const Bytes rows = clustered_rows(1500, dim, scalar, 2);
        GraphOptions options{dim, scalar, 8, 40, 1};
        const Bytes expected = built(options, rows);
        for (const std::size_t threads : {2, 4})
            for (const std::size_t portion : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, SIZE_MAX}) {
                options.threads = threads;
                CHECK(built(options, rows, portion) == expected);
            }
        for (const auto instructions : all_instructions()) {
            options.instructions = instructions;
            CHECK(built(options, rows) == expected);
        }
    }
}

TEST(every_row_is_found_and_reached) {
    for (const auto scalar : scalars)
        for (const std::size_t count : {1, 2, 3, 20, 21, 500, 3000}) {
            const std::size_t dim = 16;
            const Bytes rows = clustered_rows(count, dim, scalar, 3 + count);
            const Bytes file = built({dim, scalar, 8, 64, 2}, rows);
            CHECK_EQUAL(unreachable(file), 0U);
            const HnswGraph graph(file, count, dim, scalar, 1);
            std::size_t missed = 0, wrong = 0;
            for (std::size_t row = 0; row < count; row += 1 + count / 200) {
                const auto query = as_floats(
                    ByteView(rows).subspan(row * graph.dim() * scalar_bytes(scalar), dim * scalar_bytes(scalar)),
                    scalar);
                const auto found = graph.nearest(query, 5, 64, 16, {}, {}).at(0);
                const auto all = graph.exact(query, std::nullopt, 5, false, {});
                missed += found.empty() || found[0].score < all[0].score;
                wrong += !same(found, all);
            }
            CHECK_EQUAL(missed, 0U);
            CHECK(wrong <= 4);
        }
}

TEST(rows_without_a_direction_are_nodes_like_others) {
    for (const auto scalar : scalars) {
        Bytes rows(3 * 4 * scalar_bytes(scalar));
        rows[4 * scalar_bytes(scalar) + scalar_bytes(scalar) - 1] = 0x3c;
        const Bytes file = built({4, scalar, 4, 8, 1}, rows);
        CHECK_EQUAL(unreachable(file), 0U);
        const HnswGraph graph(file, 3, 4, scalar, 1);
        CHECK_EQUAL(graph.nodes(), 2U);
        CHECK_EQUAL(graph.nearest(std::vector<float>{1, 0, 0, 0}, 3, 8, 16, {}, {}).at(0).size(), 3U);
    }
}

TEST(a_new_cluster_in_one_batch_is_linked_in_itself) {
    // 5,000 rows here and there, then 400 close together, which no node in front of them is like.
    const std::size_t dim = 32;
    Random random(7);
    Bytes rows;
    for (int i = 0; i < 5000; ++i) {
        const Bytes row = random_row(random, dim, Scalar::i8);
        rows.insert(rows.end(), row.begin(), row.end());
    }
    const Bytes centre = random_row(random, dim, Scalar::i8);
    for (int i = 0; i < 400; ++i) {
        Bytes row = centre;
        for (int k = 0; k < 3; ++k) row[random.below(dim)] = static_cast<std::uint8_t>(random.below(127));
        rows.insert(rows.end(), row.begin(), row.end());
    }
    const Bytes file = built({dim, Scalar::i8, 16, 128, 2}, rows);
    CHECK_EQUAL(unreachable(file), 0U);
    const HnswGraph graph(file, 5400, dim, Scalar::i8, 1);
    int missed = 0;
    for (std::size_t row = 5000; row < 5400; ++row) {
        const auto query = as_floats(ByteView(rows).subspan(row * dim, dim), Scalar::i8);
        const auto found = graph.nearest(query, 1, 64, 16, {}, {}).at(0);
        missed += found[0].score < graph.exact(query, std::nullopt, 1, false, {})[0].score;
    }
    CHECK(missed <= 2);
}

TEST(links_are_only_added_to_what_cannot_be_reached) {
    // No node has a link but the entry, which is full of links to others: the least there is to begin with.
    const std::size_t dim = 8;
    Random random(11);
    for (const std::size_t linked : {0, 4}) {
        DistinctRows rows(RowProducts(Scalar::i8, dim));
        while (rows.nodes() < 60) rows.add(random_row(random, dim, Scalar::i8).data());
        GraphLinks links(2);
        links.grow_to(rows.nodes());
        for (std::uint32_t node = 0; node < linked; ++node)  // a circle of full nodes that nothing leads out of
            for (std::uint32_t other = 0; other <= linked; ++other)
                if (other != node) links.lists(0).append(node, {0, other});
        for (std::uint32_t other = 0; other < linked; ++other) links.lists(0).append(linked, {0, other});
        make_reachable(rows, links, 8, {});
        const TemporaryFolder folder;
        {
            OutputFile file(folder.file("graph"));
            write_graph(file, rows, links, [](std::size_t row) { return row; }, {});
        }
        CHECK_EQUAL(unreachable(load(folder.file("graph"))), 0U);
    }
}

TEST(copies_are_found_with_their_originals) {
    for (const auto scalar : scalars) {
        const std::size_t dim = 12, size = dim * scalar_bytes(scalar), count = 900;
        Bytes rows = clustered_rows(count, dim, scalar, 5);
        std::vector<std::uint32_t> original(count);
        Random random(6);
        for (std::uint32_t row = 0; row < count; ++row) {
            original[row] = row;
            if (row == 0 || random.below(3) != 0) continue;
            original[row] = original[random.below(row)];
            std::memcpy(rows.data() + row * size, rows.data() + original[row] * size, size);
        }
        const Bytes file = built({dim, scalar, 8, 64, 2}, rows, 50);
        const HnswGraph graph(file, count, dim, scalar, 1);
        CHECK_EQUAL(unreachable(file), 0U);
        CHECK(graph.nodes() < count && graph.nodes() == number_at<std::uint32_t>(file, 0));
        std::vector<std::uint64_t> words((count + 9 + 63) / 64);
        for (std::size_t row = 0; row < count; ++row)
            if (row % 3 != 0) words[(row + 9) / 64] |= std::uint64_t{1} << ((row + 9) % 64);
        const RowSet allowed{words, 9};
        std::vector<std::int64_t> listed;
        for (std::int64_t row = 0; row < static_cast<std::int64_t>(count); ++row)
            if (row % 3 != 0) listed.push_back(row);
        for (std::uint32_t row = 0; row < count; row += 7) {
            const auto query = as_floats(ByteView(rows).subspan(row * size, size), scalar);
            // What comparing with each row by itself gives.
            const PreparedQuery prepared(query, scalar);
            const auto expected = [&](bool only_allowed, bool distinct, std::size_t k) {
                std::vector<Hit> hits;
                std::set<std::uint32_t> taken;
                for (std::uint32_t i = 0; i < count; ++i)
                    if ((!only_allowed || i % 3 != 0) && (!distinct || taken.insert(original[i]).second))
                        hits.push_back({i, prepared.cosine(rows.data() + i * size)});
                std::stable_sort(hits.begin(), hits.end(), [](auto& a, auto& b) { return a.score > b.score; });
                hits.resize(std::min(k, hits.size()));
                return hits;
            };
            for (const std::size_t k : {1, 4, 60, 1000})
                for (const bool distinct : {false, true}) {
                    CHECK(same(graph.exact(query, std::nullopt, k, distinct, {}), expected(false, distinct, k)));
                    CHECK(same(graph.exact(query, listed, k, distinct, {}), expected(true, distinct, k)));
                    CHECK(same(graph.nearest(query, k, count, 16, {nullptr, distinct}, {}).at(0),
                               expected(false, distinct, k)));
                    CHECK(same(graph.nearest(query, k, count, 16, {&allowed, distinct}, {}).at(0),
                               expected(true, distinct, k)));
                }
            CHECK_EQUAL(graph.rows().first_row(graph.rows().node(row)), original[row]);
        }
        CHECK_ERROR(format, HnswGraph(file, count + 1, dim, scalar, 1));
        CHECK_ERROR(format, HnswGraph(file, graph.nodes(), dim, scalar, 1));
        CHECK_ERROR(format, HnswGraph(ByteView(file).first(file.size() - 1), count, dim, scalar, 1));
    }
}

TEST(lists_of_copies_that_lie_are_errors) {
    // Rows 0 to 5, of which 2 and 4 are copies: nodes 0 to 3.
    const auto section = [](std::vector<std::uint32_t> numbers, const char* magic = "copies\0\1") {
        Bytes bytes(magic, magic + 8);
        const std::uint64_t count = numbers.size() / 2;
        const auto* at = reinterpret_cast<const std::uint8_t*>(&count);
        bytes.insert(bytes.end(), at, at + sizeof count);
        const auto* first = reinterpret_cast<const std::uint8_t*>(numbers.data());
        bytes.insert(bytes.end(), first, first + 4 * numbers.size());
        return bytes;
    };
    const NodeRows sound(section({2, 4, 0, 2}), 4, 6);
    CHECK_EQUAL(sound.node(5), 3U);
    CHECK_EQUAL(sound.first_row(3), 5U);
    CHECK(sound.copies(0).size() == 1 && sound.copies(0)[0] == 2 && sound.copies(1).empty());
    CHECK(!NodeRows(ByteView{}, 4, 4).has_copies());
    for (const auto& numbers : std::vector<std::vector<std::uint32_t>>{
             {4, 2, 0, 2}, {2, 2, 0, 1}, {0, 4, 0, 2}, {2, 4, 2, 2}, {2, 6, 0, 1}, {2, 4, 0, 3}, {2, UINT32_MAX, 0, 1}})
        CHECK_ERROR(format, NodeRows(section(numbers), 4, 6));
    CHECK_ERROR(format, NodeRows(section({2, 4, 0, 2}), 4, 7));
    CHECK_ERROR(format, NodeRows(section({2, 4, 0, 2}), 6, 6));
    CHECK_ERROR(format, NodeRows(section({2, 4, 0, 2}, "copies\0\2"), 4, 6));
    CHECK_ERROR(format, NodeRows(Bytes{}, 4, 6));
    CHECK_ERROR(format, NodeRows(Bytes{}, 0, 0));
}

TEST(vectors_that_cannot_be_compared_are_refused) {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const float value : {inf, -inf, nan}) {
        GraphBuilder builder({1, Scalar::f32});
        CHECK_ERROR(config, builder.add(0, {reinterpret_cast<const std::uint8_t*>(&value), 4}, {}));
        CHECK_ERROR(closed, builder.add(0, Bytes(4), {}));
    }
    CHECK_ERROR(config, GraphBuilder({1, Scalar::i8}).add(0, Bytes{0x80}, {}));
    CHECK_ERROR(config, GraphBuilder({1, Scalar::f16}).add(0, Bytes{0, 0x7c}, {}));
    CHECK_ERROR(config, GraphBuilder({2, Scalar::f16}).add(0, Bytes(6), {}));
    CHECK_ERROR(config, GraphBuilder({0, Scalar::i8}));
    CHECK_ERROR(config, GraphBuilder({8, Scalar::i8, 1}));
    const TemporaryFolder folder;
    CHECK_ERROR(closed, GraphBuilder({1, Scalar::i8}).save(folder.file("graph"), {}));
    const float huge = std::numeric_limits<float>::max();  // its square is none
    Bytes rows(3 * 4);
    for (std::size_t i = 0; i < 3; ++i) {
        const float value = huge / static_cast<float>(1 + i);
        std::memcpy(rows.data() + 4 * i, &value, sizeof value);
    }
    CHECK_EQUAL(unreachable(built({1, Scalar::f32, 4, 8, 1}, rows)), 0U);
}

TEST(an_interruption_ends_a_graph) {
    const Bytes rows = clustered_rows(4000, 32, Scalar::i8, 8);
    GraphBuilder builder({32, Scalar::i8, 16, 128, 2});
    bool interrupted = false;
    try {
        for (int i = 0; i < 100; ++i) builder.add(0, rows, [] { throw Interrupted(); });
    } catch (const Interrupted&) {
        interrupted = true;
    }
    CHECK(interrupted);
    const TemporaryFolder folder;
    CHECK_ERROR(closed, builder.add(0, rows, {}));
    CHECK_ERROR(closed, builder.save(folder.file("graph"), {}));
}
