// One order out of two scores, by meaning and by words. The rule is src/memvid/ranking/fusion.py's, which says why.
#pragma once

#include <cstdint>
#include <span>

namespace memvid {

// What the words of a question weigh against its meaning: of the chunks that have each word, of so many chunks, and of
// the scores of the best by words, best first.
double words_share(std::span<const std::uint64_t> frequencies, std::uint64_t count, std::span<const float> scores);

// The cosine, and the score by words as a part of the best one, which is above 0 if the share is.
double relevance(float cosine, float keyword, double share, float best);

}  // namespace memvid
