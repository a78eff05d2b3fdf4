#include "memvid/candidate_search.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "memvid/error.hpp"
#include "memvid/fusion.hpp"

namespace memvid {

namespace {

bool is_nearer(const Hit& a, const Hit& b) { return a.score != b.score ? a.score > b.score : a.row < b.row; }

// Those of `rows` rows that are allowed, counted from the first.
std::vector<std::int64_t> rows_of(const RowSet& allowed, std::size_t rows) {
    std::vector<std::int64_t> found;
    allowed.each(rows, [&](std::uint32_t row) { found.push_back(row); });
    return found;
}

}  // namespace

CandidateSearch::CandidateSearch(std::vector<const HnswGraph*> graphs, const WordIndex* words, std::size_t threads)
    : words_(words), pool_(threads == 0 ? available_cores() : threads) {
    for (const HnswGraph* graph : graphs) {
        segments_.push_back({graph, static_cast<std::uint32_t>(rows_)});
        rows_ += graph->count();
        if (graph->dim() != graphs[0]->dim() || graph->scalar() != graphs[0]->scalar())
            throw Error(ErrorCode::config, "segments of other vectors");
    }
    if (rows_ > UINT32_MAX || (words != nullptr && words->rows() != rows_))
        throw Error(ErrorCode::config, "words of other rows than there are vectors");
}

std::vector<Hit> CandidateSearch::nearest(const PreparedQuery& query, std::size_t count,
                                          std::span<const std::optional<GraphWalkPlan>> plans, std::size_t spare,
                                          RowBits allowed) const {
    std::vector<Hit> all;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
        const auto& [graph, first] = segments_[i];
        const RowSet set{allowed, first};
        const RowSet* const wanted = allowed.empty() ? nullptr : &set;
        std::vector<Hit> found;
        if (const auto& plan = plans[i])
            found = graph->nearest(query, count, plan->width, spare, {wanted, false, plan->through, plan->skimmed});
        // Not walked, or what is wanted lies in several parts of the graph, or is copies.
        if (found.size() < std::min(count, graph->count())) {
            const auto rows = wanted == nullptr ? std::vector<std::int64_t>() : rows_of(set, graph->count());
            const auto among = wanted == nullptr ? std::nullopt : std::optional(std::span<const std::int64_t>(rows));
            found = graph->exact(query, among, count, false, {});
        }
        for (const Hit& hit : found) all.push_back({hit.row + first, hit.score});
    }
    if (segments_.size() > 1) {
        std::sort(all.begin(), all.end(), is_nearer);
        all.resize(std::min(count, all.size()));
    }
    return all;
}

float CandidateSearch::cosine(const PreparedQuery& query, std::uint32_t row) const {
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), row,
                                        [](std::uint32_t value, const Segment& each) { return value < each.first; });
    const Segment& segment = *std::prev(after);
    return segment.graph->cosine(query, row - segment.first);
}

// Both scores of all that were found.
Candidates CandidateSearch::join(const PreparedQuery* query, std::span<const Hit> nearest, const WordQuestion* words,
                                 std::span<const ScoredRow> best) const {
    Candidates result;
    result.nearest = nearest.size();
    if (!nearest.empty()) result.farthest = nearest.back().score;
    std::vector<Candidate>& found = result.best;
    found.reserve(nearest.size() + best.size());
    for (const Hit& hit : nearest) found.push_back({hit.row, hit.score, -1, 0});
    const auto by_row = [](const Candidate& a, const Candidate& b) { return a.row < b.row; };
    std::sort(found.begin(), found.end(), by_row);
    const std::size_t end = found.size();
    for (const auto& [row, score] : best) {
        const auto behind = found.begin() + static_cast<std::ptrdiff_t>(end);
        const auto there = std::lower_bound(found.begin(), behind, row, [](const Candidate& each, std::uint32_t value) {
            return each.row < value;
        });
        if (there != behind && there->row == row)
            there->keyword = score;
        else
            found.push_back({row, query == nullptr ? 0 : cosine(*query, row), score, 0});
    }
    std::vector<std::int64_t> missing;
    for (std::size_t i = 0; i < end; ++i)
        if (found[i].keyword < 0) missing.push_back(found[i].row);
    const auto scores = best.empty() ? std::vector<float>(missing.size()) : words_->score(*words, missing);
    auto next = scores.begin();
    float highest = 0;
    for (auto& each : found) {
        if (each.keyword < 0) each.keyword = *next++;
        highest = std::max(highest, each.keyword);
    }
    if (query == nullptr) {
        result.share = 1;
        for (auto& each : found) each.relevance = double{each.keyword};
    } else {
        if (!best.empty()) {
            std::vector<float> ranked;
            for (const auto& each : best) ranked.push_back(each.score);
            result.share = words_share(words->frequencies(), words_->rows(), ranked);
        }
        for (auto& each : found) each.relevance = relevance(each.cosine, each.keyword, result.share, highest);
    }
    std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
        return a.relevance != b.relevance ? a.relevance > b.relevance : a.row < b.row;
    });
    return result;
}

std::vector<Candidates> CandidateSearch::search(std::span<const Question> questions, std::size_t count,
                                                std::span<const std::optional<GraphWalkPlan>> plans, std::size_t spare,
                                                RowBits allowed, const Poll& poll) const {
    struct Halves {
        std::optional<PreparedQuery> query;
        std::vector<Hit> nearest;
        std::optional<WordQuestion> words;
        std::vector<ScoredRow> best;
    };
    std::vector<Halves> halves(questions.size());
    // By words first: that is mostly the longer half.
    std::vector<std::pair<std::size_t, bool>> tasks;
    for (const bool by_words : {true, false})
        for (std::size_t i = 0; i < questions.size(); ++i)
            if (by_words ? words_ != nullptr && !questions[i].terms.empty()
                         : !segments_.empty() && !questions[i].vector.empty())
                tasks.emplace_back(i, by_words);
    pool_.parallel_for(
        tasks.size(),
        [&](std::size_t task) {
            const auto [i, by_words] = tasks[task];
            Halves& half = halves[i];
            if (by_words) {
                half.words.emplace(words_->ask(questions[i].terms));
                half.best = words_->search(*half.words, count, allowed);
            } else {
                half.query.emplace(segments_[0].graph->prepared(questions[i].vector));
                half.nearest = nearest(*half.query, count, plans, spare, allowed);
            }
        },
        poll);
    std::vector<Candidates> result;
    result.reserve(halves.size());
    for (const Halves& half : halves)
        result.push_back(join(half.query ? &*half.query : nullptr, half.nearest, half.words ? &*half.words : nullptr,
                              half.best));
    return result;
}

}  // namespace memvid
