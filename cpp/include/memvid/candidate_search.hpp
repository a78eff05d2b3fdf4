// The candidates of a question out of all segments of an index: the best by meaning and the best by words, each with
// both scores, in one order.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memvid/hnsw_graph.hpp"
#include "memvid/thread_pool.hpp"
#include "memvid/word_search.hpp"

namespace memvid {

// What is asked: without a vector by words alone, without terms by meaning alone.
struct Question {
    std::span<const float> vector;
    std::vector<std::string> terms;
};

// How the graph of a segment is walked.
struct GraphWalkPlan {
    std::size_t width;
    std::size_t through;  // see Wanted
    std::size_t skimmed;
};

struct Candidate {
    std::uint32_t row;
    float cosine;   // 0 where nothing was asked by meaning
    float keyword;  // BM25; 0 where it has none of the terms
    double relevance;
};

struct Candidates {
    std::vector<Candidate> best;  // the most relevant first, ties by row
    double share = 0;             // of the words in the relevance
    std::size_t nearest = 0;      // how many were found by meaning,
    float farthest = 0;           // and the cosine of the last of them
};

// Rows are numbered through all segments. Safe to share between threads.
class CandidateSearch {
public:
    // All of them must outlive this. `words` may be null. Throws Error(config) where they have not the same rows,
    // or the graphs not vectors of one kind.
    CandidateSearch(std::vector<const HnswGraph*> graphs, const WordIndex* words, std::size_t threads);

    std::size_t rows() const { return rows_; }
    const HnswGraph& graph(std::size_t segment) const { return *segments_[segment].graph; }
    std::size_t segments() const { return segments_.size(); }

    // The `count` best of each kind, for each question. `plans` has one for each segment; without one, its rows are all
    // compared with. `spare`: see HnswGraph::nearest. `allowed` has a bit for each row, or is empty. The halves of a
    // question run side by side where there are threads. Throws Error(config) for a plan of a segment without a graph,
    // Error(format) where it comes across what cannot be in a file.
    std::vector<Candidates> search(std::span<const Question> questions, std::size_t count,
                                   std::span<const std::optional<GraphWalkPlan>> plans, std::size_t spare,
                                   RowBits allowed, const Poll& poll) const;

private:
    struct Segment {
        const HnswGraph* graph;
        std::uint32_t first;
    };

    std::vector<Hit> nearest(const PreparedQuery& query, std::size_t count,
                             std::span<const std::optional<GraphWalkPlan>> plans, std::size_t spare,
                             RowBits allowed) const;
    Candidates join(const PreparedQuery* query, std::span<const Hit> nearest, const WordQuestion* words,
                    std::span<const ScoredRow> best) const;
    float cosine(const PreparedQuery& query, std::uint32_t row) const;

    std::vector<Segment> segments_;
    const WordIndex* words_;
    std::size_t rows_ = 0;
    mutable ThreadPool pool_;
};

}  // namespace memvid
