// Signs of vectors: the same with any instructions and threads, and products that they estimate.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/row_signs.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

// About normally distributed around a mean of its own in each component.
std::vector<float> random_vector(Random& random, std::size_t dim) {
    std::vector<float> vector;
    for (std::size_t i = 0; i < dim; ++i) {
        float sum = static_cast<float>(i % 5);
        for (int j = 0; j < 4; ++j) sum += static_cast<float>(random.below(2001)) / 1000 - 1;
        vector.push_back(sum);
    }
    return vector;
}

Bytes stored(const std::vector<float>& vector, Scalar scalar) {
    Bytes row(vector.size() * scalar_bytes(scalar));
    float peak = 0;
    for (const float value : vector) peak = std::max(peak, std::abs(value));
    for (std::size_t i = 0; i < vector.size(); ++i) {
        if (scalar == Scalar::i8)
            row[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::lrintf(vector[i] / peak * 127)));
        else
            std::memcpy(row.data() + 4 * i, &vector[i], sizeof(float));
    }
    return row;
}

float estimate(const RowSigns& signs, const RowSigns::Asked& asked, std::size_t vector) {
    const auto number = static_cast<std::uint32_t>(vector);
    float product = 0;
    signs.estimate(asked, {&number, 1}, {&product, 1});
    return product;
}

}  // namespace

TEST(signs_are_the_same_with_any_instructions_and_threads) {
    Random random(1);
    for (const std::size_t dim : {1, 63, 64, 100, 384, 500}) {
        for (const Scalar scalar : {Scalar::i8, Scalar::f32}) {
            Bytes matrix;
            constexpr std::size_t count = 5000;
            for (std::size_t i = 0; i < count; ++i) {
                const Bytes row = stored(random_vector(random, dim), scalar);
                matrix.insert(matrix.end(), row.begin(), row.end());
            }
            const std::size_t row_bytes = dim * scalar_bytes(scalar);
            ThreadPool one(1), four(4);
            const RowSigns plain(matrix, row_bytes, dim, scalar, one, Instructions::portable);
            const RowSigns other(matrix, row_bytes, dim, scalar, four);
            const PreparedQuery query(random_vector(random, dim), scalar);
            const auto asked = plain.prepared(query), same = other.prepared(query);
            for (std::size_t i = 0; i < count; ++i) {
                CHECK(std::memcmp(plain.row(i), other.row(i), plain.row_bytes()) == 0);
                CHECK_EQUAL(estimate(plain, asked, i), estimate(other, same, i));
            }
        }
    }
}

TEST(the_nearest_are_among_the_first_few_of_the_estimates) {
    Random random(2);
    constexpr std::size_t dim = 384, count = 4000, best = 10, first = 400;
    Bytes matrix;
    for (std::size_t i = 0; i < count; ++i) {
        const Bytes row = stored(random_vector(random, dim), Scalar::i8);
        matrix.insert(matrix.end(), row.begin(), row.end());
    }
    ThreadPool pool(2);
    const RowSigns signs(matrix, dim, dim, Scalar::i8, pool);
    std::size_t found = 0;
    constexpr std::size_t questions = 20;
    for (std::size_t question = 0; question < questions; ++question) {
        auto vector = random_vector(random, dim);
        if (question % 2 == 1)
            for (float& value : vector) value = -value;
        const PreparedQuery query(vector, Scalar::i8);
        const RowSigns::Asked asked = signs.prepared(query);
        std::vector<std::pair<float, std::size_t>> right, estimated;
        for (std::size_t i = 0; i < count; ++i) {
            right.emplace_back(-query.cosine(matrix.data() + i * dim), i);
            estimated.emplace_back(-estimate(signs, asked, i), i);
        }
        std::sort(right.begin(), right.end());
        std::sort(estimated.begin(), estimated.end());
        for (std::size_t i = 0; i < best; ++i)
            found += static_cast<std::size_t>(std::any_of(estimated.begin(), estimated.begin() + first,
                                                          [&](const auto& each) { return each.second == right[i].second; }));
    }
    CHECK(found >= questions * best * 98 / 100);
}

TEST(what_has_no_direction_is_estimated_as_nothing) {
    constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    Bytes matrix;
    for (const float value : {0.0F, infinity, nan, 3e38F, 1.0F, -1.0F}) {
        const Bytes row = stored({value, value, 0, value}, Scalar::f32);
        matrix.insert(matrix.end(), row.begin(), row.end());
    }
    ThreadPool pool(1);
    const RowSigns signs(matrix, 16, 4, Scalar::f32, pool);
    const RowSigns::Asked asked = signs.prepared({std::vector<float>{1, 1, 1, 1}, Scalar::f32});
    for (std::size_t row = 0; row < 4; ++row) CHECK_EQUAL(estimate(signs, asked, row), 0.0F);
    const RowSigns::Asked strange = signs.prepared({std::vector<float>{nan, infinity, 1, -infinity}, Scalar::f32});
    for (std::size_t row = 0; row < 6; ++row) CHECK(std::isfinite(estimate(signs, strange, row)));
    CHECK(estimate(signs, asked, 4) > 0);
    CHECK(estimate(signs, asked, 5) < 0);
}
