// Codes of vectors: the same everywhere, near to what they stand for, in files that hold what was put into them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/code_file.hpp"
#include "memvid/graph_builder.hpp"
#include "memvid/hnsw_graph.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr Scalar scalars[] = {Scalar::code4, Scalar::code1};

// About normally distributed, as the components of most vectors of texts are.
std::vector<std::int16_t> random_vector(Random& random, std::size_t dim) {
    std::vector<std::int16_t> vector;
    for (std::size_t i = 0; i < dim; ++i) {
        int sum = 0;
        for (int j = 0; j < 4; ++j) sum += static_cast<int>(random.below(4001)) - 2000;
        vector.push_back(static_cast<std::int16_t>(sum));
    }
    return vector;
}

// Some of them several times.
Bytes random_vectors(std::size_t count, std::size_t dim, std::uint64_t seed) {
    Random random(seed);
    Bytes rows;
    for (std::size_t i = 0; i < count; ++i) {
        if (i > 0 && random.below(8) == 0) {
            const std::size_t at = random.below(i) * 2 * dim;
            const Bytes copy(rows.begin() + static_cast<std::ptrdiff_t>(at),
                             rows.begin() + static_cast<std::ptrdiff_t>(at + 2 * dim));
            rows.insert(rows.end(), copy.begin(), copy.end());
            continue;
        }
        const auto vector = random_vector(random, dim);
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(vector.data());
        rows.insert(rows.end(), bytes, bytes + 2 * dim);
    }
    return rows;
}

Bytes saved(GraphBuilder& builder) {
    const TemporaryFolder folder;
    builder.save(folder.file("codes"), {});
    return load(folder.file("codes"));
}

Bytes built(const GraphOptions& options, ByteView rows, std::size_t portion = SIZE_MAX) {
    GraphBuilder builder(options);
    const std::size_t bytes = builder.row_bytes(), count = rows.size() / bytes;
    for (std::size_t i = 0; i < count; i += std::min(portion, count))
        builder.add(i, rows.subspan(i * bytes, std::min(portion, count - i) * bytes), {});
    return saved(builder);
}

std::vector<float> as_query(ByteView vector) {
    std::vector<float> query;
    for (std::size_t at = 0; at < vector.size(); at += 2) {
        std::int16_t value;
        std::memcpy(&value, vector.data() + at, sizeof value);
        query.push_back(value);
    }
    return query;
}

double cosine(std::span<const float> a, std::span<const float> b) {
    double dot = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        dot += double{a[i]} * b[i];
        aa += double{a[i]} * a[i];
        bb += double{b[i]} * b[i];
    }
    return dot / std::sqrt(aa * bb);
}

}  // namespace

TEST(a_rotation_keeps_lengths_and_can_be_undone) {
    Random random(1);
    for (const std::size_t dim : {1, 8, 64, 65, 384, 1000}) {
        const Rotation rotation(dim);
        CHECK_EQUAL(rotation.size() % 64, 0U);
        std::vector<std::int16_t> vector(dim);
        for (auto& value : vector) value = static_cast<std::int16_t>(static_cast<int>(random.below(31)) - 15);
        std::vector<std::int32_t> turned(rotation.size()), back(dim);
        rotation.turn(vector, turned);
        std::int64_t before = 0, after = 0;
        for (const std::int64_t value : vector) before += value * value;
        for (const std::int64_t value : turned) after += value * value;
        CHECK_EQUAL(after, before * Rotation::growth * Rotation::growth);

        std::vector<std::int8_t> code(rotation.size());
        for (auto& value : code) value = static_cast<std::int8_t>(2 * static_cast<int>(random.below(16)) - 15);
        if (dim % 64 != 0) continue;  // else some of what was turned is left out when it is turned back
        rotation.turn_back(code, back);
        std::vector<std::int16_t> smaller(dim);
        for (std::size_t i = 0; i < dim; ++i) smaller[i] = static_cast<std::int16_t>(back[i] / 8);
        rotation.turn(smaller, turned);
        std::vector<float> a(code.begin(), code.end()), b(turned.begin(), turned.end());
        CHECK(cosine(a, b) > 0.9999);
    }
}

TEST(fast_products_of_codes_are_the_portable_ones) {
    Random random(2);
    for (const auto scalar : scalars)
        for (const std::size_t dim : {1, 63, 64, 130, 384, 1536}) {
            const RowCoder coder(dim, scalar);
            for (int round = 0; round < 20; ++round) {
                const auto asked = random_vector(random, dim);
                const std::vector<float> floats(asked.begin(), asked.end());
                const PreparedQuery query(floats, scalar, Instructions::portable, &coder.rotation());
                std::vector<std::int8_t> code(coder.size()), again(coder.size());
                for (auto& value : code)
                    value = static_cast<std::int8_t>(scalar == Scalar::code1
                                                         ? 2 * static_cast<int>(random.below(2)) - 1
                                                         : 2 * static_cast<int>(random.below(16)) - 15);
                Bytes row(coder.row_bytes());
                coder.pack(code, 0.25F, row);
                CHECK_EQUAL(coder.unpack(row, again), 0.25F);
                CHECK(code == again);
                std::int64_t dot = 0;
                for (std::size_t i = 0; i < code.size(); ++i) dot += code[i] * query.rounded()[i];
                CHECK_EQUAL(query.products(row.data()).dot, 0.25F * static_cast<float>(dot));
                for (const auto instructions : {Instructions::avx2, Instructions::avx512_vnni}) {
                    if (instructions > best_instructions()) continue;
                    const PreparedQuery fast(floats, scalar, instructions, &coder.rotation());
                    CHECK_EQUAL(fast.products(row.data()).dot, query.products(row.data()).dot);
                    CHECK_EQUAL(fast.float_products(row.data()).dot, query.float_products(row.data()).dot);
                    CHECK_EQUAL(fast.cosine(row.data()), query.cosine(row.data()));
                }
            }
        }
}

TEST(estimates_are_near_and_right_on_average) {
    Random random(3);
    constexpr std::size_t dim = 384;
    for (const auto scalar : scalars) {
        const RowCoder coder(dim, scalar);
        double sum = 0, squares = 0, self = 0;
        constexpr int rounds = 400;
        for (int round = 0; round < rounds; ++round) {
            const auto vector = random_vector(random, dim), other = random_vector(random, dim);
            std::vector<float> stored(vector.begin(), vector.end()), asked(other.begin(), other.end());
            for (std::size_t i = 0; i < dim; ++i) asked[i] += stored[i];  // a cosine of about 0.7
            std::vector<std::int8_t> code(coder.size());
            Bytes row(coder.row_bytes());
            const float factor = coder.encode(vector, code);
            coder.pack(code, factor, row);
            const auto cosine_of = [&](std::span<const float> query) {
                return PreparedQuery(query, scalar, best_instructions(), &coder.rotation()).cosine(row.data());
            };
            const double error = cosine_of(asked) - cosine(stored, asked);
            sum += error;
            squares += error * error;
            self += cosine_of(stored);
            std::vector<float> decoded(dim);
            coder.decode(row, decoded);
            CHECK(cosine(decoded, stored) > (scalar == Scalar::code4 ? 0.99 : 0.74));
        }
        const double error = std::sqrt(squares / rounds);
        CHECK(error < (scalar == Scalar::code4 ? 0.006 : 0.04));
        CHECK(std::abs(sum / rounds) < 4 * error / std::sqrt(rounds));
        CHECK(std::abs(self / rounds - 1) < 1e-3);
    }
}

TEST(files_of_codes_are_the_same_on_any_threads_and_processors) {
    constexpr std::size_t dim = 96;
    const Bytes rows = random_vectors(3000, dim, 4);
    for (const auto scalar : scalars) {
        const Bytes file = built({dim, scalar, 8, 40, 1}, rows);
        CHECK(built({dim, scalar, 8, 40, 2}, rows, 100) == file);
        CHECK(built({dim, scalar, 8, 40, 4}, rows, 7) == file);
        CHECK(built({dim, scalar, 8, 40, 2, Instructions::portable}, rows) == file);
    }
}

TEST(a_file_gives_back_what_was_put_in) {
    constexpr std::size_t dim = 96, count = 1200;
    const Bytes rows = random_vectors(count, dim, 5);
    for (const auto scalar : scalars) {
        const Bytes file = built({dim, scalar, 8, 40, 2}, rows);
        const HnswGraph graph(file, count, dim, scalar, 1);
        graph.check();
        CHECK(graph.nodes() < count);
        CHECK_EQUAL(graph.is_linked(), scalar == Scalar::code4);
        const RowCoder coder(dim, scalar);
        Bytes stored, row(coder.row_bytes());
        std::vector<std::int8_t> code(coder.size());
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<std::int16_t> vector(dim);
            std::memcpy(vector.data(), rows.data() + 2 * dim * i, 2 * dim);
            const float factor = coder.encode(vector, code);
            coder.pack(code, factor, row);
            const ByteView own = graph.matrix().subspan(graph.rows().node(static_cast<std::uint32_t>(i)) * row.size());
            CHECK(std::equal(row.begin(), row.end(), own.begin()));
            stored.insert(stored.end(), row.begin(), row.end());
        }
        GraphBuilder again({dim, scalar, 8, 40, 2});
        again.add_codes(0, ByteView(stored).first(500 * row.size()), {});
        again.add(500, ByteView(rows).subspan(500 * 2 * dim), {});
        CHECK(saved(again) == file);
    }
}

TEST(a_walk_of_codes_finds_what_a_comparison_with_all_finds) {
    constexpr std::size_t dim = 96, count = 4000;
    const Bytes rows = random_vectors(count, dim, 6);
    const Bytes file = built({dim, Scalar::code4, 16, 128, 2}, rows);
    const HnswGraph graph(file, count, dim, Scalar::code4, 1);
    std::size_t found = 0;
    for (std::size_t i = 0; i < 100; ++i) {
        const auto query = as_query(ByteView(rows).subspan(2 * dim * (i * 40), 2 * dim));
        const auto exact = graph.exact(query, std::nullopt, 10, true, {});
        const auto walked = graph.nearest(query, 10, 128, 16, {nullptr, true}, {}).front();
        CHECK(exact.front().score > 0.98F);
        for (const auto& hit : walked)
            found += static_cast<std::size_t>(
                std::any_of(exact.begin(), exact.end(), [&](const Hit& other) { return other.row == hit.row; }));
    }
    CHECK(found > 900);
}

TEST(vectors_without_a_direction_have_codes_that_are_like_nothing) {
    for (const auto scalar : scalars) {
        Bytes rows(3 * 2 * 10);
        rows[2 * 10] = 1;
        const Bytes file = built({10, scalar, 4, 16, 1}, rows);
        const HnswGraph graph(file, 3, 10, scalar, 1);
        graph.check();
        CHECK_EQUAL(graph.nodes(), 2U);
        const auto hits = graph.exact(std::vector<float>(10, 1.0F), std::nullopt, 3, false, {});
        CHECK_EQUAL(hits.size(), 3U);
        CHECK_EQUAL(hits.back().score, 0.0F);
        CHECK_EQUAL(graph.exact(std::vector<float>(10), std::nullopt, 3, false, {}).front().score, 0.0F);
    }
}

TEST(what_cannot_be_codes_is_refused) {
    GraphBuilder builder({4, Scalar::code4, 4, 16, 1});
    std::vector<std::int16_t> vector = {8191, -8191, 0, 8192};
    const ByteView bytes{reinterpret_cast<const std::uint8_t*>(vector.data()), 8};
    CHECK_ERROR(config, builder.add(0, bytes, {}));
    CHECK_ERROR(closed, builder.add(0, bytes, {}));
    CHECK_ERROR(config, GraphBuilder({4, Scalar::code4, 128, 16, 1}));
    CHECK_ERROR(config, GraphBuilder({4, Scalar::i8, 4, 16, 1}).add_codes(0, bytes, {}));
    const Bytes file = built({4, Scalar::code1, 4, 16, 1}, random_vectors(9, 4, 7));
    const HnswGraph graph(file, 9, 4, Scalar::code1, 1);
    CHECK_ERROR(config, graph.nearest(std::vector<float>(4), 1, 8, 0, {}, {}));
    GraphBuilder codes({4, Scalar::code1, 4, 16, 1});
    Bytes row(codes.code_bytes());
    const float factor = -1;
    std::memcpy(row.data(), &factor, sizeof factor);
    CHECK_ERROR(config, codes.add_codes(0, row, {}));
}

TEST(damaged_files_of_codes_are_told_from_sound_ones) {
    constexpr std::size_t dim = 20, count = 60;
    const Bytes rows = random_vectors(count, dim, 8);
    for (const auto scalar : scalars) {
        const Bytes sound = built({dim, scalar, 4, 16, 1}, rows);
        const auto open = [&](ByteView file) { HnswGraph(file, count, dim, scalar, 1).check(); };
        open(sound);
        for (std::size_t size = 0; size < sound.size(); ++size)
            CHECK_ERROR(format, open(Bytes(sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(size))));
        Bytes longer = sound;
        longer.push_back(0);
        CHECK_ERROR(format, open(longer));
        CHECK_ERROR(format, HnswGraph(sound, count + 1, dim, scalar, 1));
        CHECK_ERROR(format, HnswGraph(sound, count, dim + 1, scalar, 1));
        CHECK_ERROR(format, HnswGraph(sound, count, dim, scalar == Scalar::code1 ? Scalar::code4 : Scalar::code1, 1));
        for (std::size_t at = 0; at < 128; ++at)
            for (const std::uint8_t value : {0x01, 0x80, 0xff}) {
                Bytes changed = sound;
                changed[at] ^= value;
                if (scalar == Scalar::code4 && at >= 24 && at < 48) continue;  // another graph of the same sizes, perhaps
                CHECK_ERROR(format, open(changed));
            }
        Random random(9);
        const std::vector<float> query(dim, 1.0F);
        for (int round = 0; round < 3000; ++round) {
            Bytes changed = sound;
            for (std::size_t i = 0; i <= random.below(3); ++i)
                changed[random.below(changed.size())] = static_cast<std::uint8_t>(random.next());
            try {
                const HnswGraph graph(changed, count, dim, scalar, 1);
                for (const auto& hit : graph.exact(query, std::nullopt, 5, false, {})) CHECK(std::isfinite(hit.score));
                if (graph.is_linked()) graph.nearest(query, 5, 16, 4, {}, {});
                graph.check();
            } catch (const Error& error) {
                CHECK(error.code() == ErrorCode::format);
            }
        }
    }
}
