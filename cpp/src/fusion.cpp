#include "memvid/fusion.hpp"

#include <algorithm>
#include <cmath>

namespace memvid {

namespace {

constexpr double half = 0.5;       // of the relevance: what words have that stand out
constexpr double more = 0.25;      // and what they have on top where one is rare
constexpr std::size_t tenth = 9;   // the passage that the best stands out from
constexpr double dominant = 0.25;  // of the weight of all words: what one has that was asked for
constexpr double common = 0.5;     // of the weight that a word of a single chunk has: what a word has that is not rare
constexpr double steep = 4;

double word_weight(std::uint64_t frequency, std::uint64_t count) {
    const auto has = static_cast<double>(frequency), others = static_cast<double>(std::max(count, frequency)) - has;
    return std::log1p((others + 0.5) / (has + 0.5));
}

}  // namespace

double words_share(std::span<const std::uint64_t> frequencies, std::uint64_t count, std::span<const float> scores) {
    double rarest = 0, sum = 0;
    for (const auto frequency : frequencies) {
        if (frequency == 0) continue;
        const double weight = word_weight(frequency, count);
        rarest = std::max(rarest, weight);
        sum += weight;
    }
    if (sum == 0 || scores.empty() || scores[0] <= 0) return 0;
    const double standing_out = scores.size() > tenth ? 1 - double{scores[tenth]} / double{scores[0]} : 1;
    const double rarity = std::max(0.0, (rarest / word_weight(1, count) - common) / (1 - common));
    const double asked_for = std::min(1.0, rarest / sum / dominant) * rarity;
    return standing_out * (half + more * std::pow(std::min(1.0, asked_for), steep));
}

double relevance(float cosine, float keyword, double share, float best) {
    if (share == 0 || best <= 0) return double{cosine};
    return (1 - share) * double{cosine} + share * (double{keyword} / double{best});
}

}  // namespace memvid
