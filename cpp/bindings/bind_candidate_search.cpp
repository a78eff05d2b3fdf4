#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>

#include "mapped_index.hpp"
#include "memvid/candidate_search.hpp"
#include "memvid/error.hpp"
#include "memvid/fusion.hpp"

namespace memvid::bindings {

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;
using SetArray = py::array_t<std::uint64_t, py::array::c_style>;
using Plan = std::optional<std::tuple<std::size_t, std::size_t, std::size_t>>;

// A search in parts of an index, which live as long.
class MappedSearch {
public:
    MappedSearch(std::vector<py::object> graphs, std::optional<py::object> words, std::size_t threads)
        : graphs_(std::move(graphs)),
          words_(std::move(words)),
          search_(pointers(graphs_), words_ ? &words_->cast<const MappedWords&>().index() : nullptr, threads) {}

    const CandidateSearch& search() const { return search_; }

private:
    static std::vector<const HnswGraph*> pointers(const std::vector<py::object>& graphs) {
        std::vector<const HnswGraph*> result;
        for (const auto& graph : graphs) result.push_back(&graph.cast<const MappedGraph&>().graph());
        return result;
    }

    std::vector<py::object> graphs_;
    std::optional<py::object> words_;
    CandidateSearch search_;
};

py::tuple to_python(const Candidates& found) {
    const auto& best = found.best;
    return py::make_tuple(array_of<std::int64_t>(best, [](const Candidate& each) { return std::int64_t{each.row}; }),
                          array_of<float>(best, [](const Candidate& each) { return each.cosine; }),
                          array_of<float>(best, [](const Candidate& each) { return each.keyword; }),
                          array_of<double>(best, [](const Candidate& each) { return each.relevance; }), found.share,
                          found.nearest, found.farthest);
}

py::list search(const MappedSearch& mapped, const std::optional<FloatArray>& vectors,
                std::vector<std::vector<std::string>> terms, std::size_t count, const std::vector<Plan>& plans,
                std::size_t spare, const std::optional<SetArray>& allowed) {
    const CandidateSearch& search = mapped.search();
    const std::size_t dim = search.segments() == 0 ? 0 : search.graph(0).dim();
    if (vectors && (vectors->ndim() != 2 || vectors->shape(0) != static_cast<py::ssize_t>(terms.size()) ||
                    vectors->shape(1) != static_cast<py::ssize_t>(dim)))
        throw Error(ErrorCode::config,
                    "vectors of another shape: expected " + std::to_string(dim) + " floats for each question");
    const RowBits set = allowed ? span_of(*allowed) : RowBits();
    if (plans.size() != search.segments() || (allowed && set.size() != (search.rows() + 63) / 64))
        throw Error(ErrorCode::config, "plans or a set of another index");
    const auto asked = vectors ? copy_of(*vectors) : std::vector<float>();
    std::vector<Question> questions;
    for (std::size_t i = 0; i < terms.size(); ++i) {
        const std::span<const float> all(asked);
        questions.push_back({vectors ? all.subspan(i * dim, dim) : all, std::move(terms[i])});
    }
    std::vector<std::optional<GraphWalkPlan>> walks;
    for (const auto& plan : plans) {
        walks.emplace_back();
        if (plan) walks.back() = {std::get<0>(*plan), std::get<1>(*plan), std::get<2>(*plan)};
    }
    std::vector<Candidates> found;
    {
        const py::gil_scoped_release release;
        found = search.search(questions, count, walks, spare, set, check_signals);
    }
    py::list result;
    for (const auto& each : found) result.append(to_python(each));
    return result;
}

}  // namespace

void register_candidate_search(py::module_& module) {
    py::class_<MappedSearch>(module, "CandidateSearch", py::is_final(),
                             "Search by meaning, by words or both in graphs and words of the same rows. Safe to share "
                             "between threads.")
        .def(py::init<std::vector<py::object>, std::optional<py::object>, std::size_t>(), py::arg("graphs"),
             py::arg("words").none(true), py::kw_only(), py::arg("threads") = 0)
        .def("search", &search, py::arg("vectors").noconvert().none(true), py::arg("terms"), py::arg("k"),
             py::kw_only(), py::arg("plans"), py::arg("spare"),
             py::arg("allowed").noconvert().none(true) = py::none(),
             "For each question, float32[q, dim] and lists of terms: the best k of each kind in one order, as int64 "
             "rows, float32 cosines and BM25 scores, float64 relevance; the share of the words, how many were found by "
             "meaning, and the cosine of the last of them. Plans: for each segment width and through of a walk, and "
             "skimmed; or None.");
    module.def(
        "words_share",
        [](const std::vector<std::uint64_t>& frequencies, std::uint64_t count, const FloatArray& scores) {
            return words_share(frequencies, count, span_of(scores));
        },
        py::arg("frequencies"), py::arg("count"), py::arg("scores"), "By the rule of ranking/fusion.py.");
    module.def("relevance", &relevance, py::arg("cosine"), py::arg("keyword"), py::arg("share"), py::arg("best"),
               "By the rule of ranking/fusion.py.");
}

}  // namespace memvid::bindings
