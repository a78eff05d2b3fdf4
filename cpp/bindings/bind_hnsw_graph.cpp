#include <pybind11/stl.h>

#include <algorithm>
#include <limits>

#include "common.hpp"
#include "memvid/error.hpp"
#include "memvid/hnsw_graph.hpp"

namespace memvid::bindings {

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

Scalar scalar_of(const std::string& dtype) {
    if (dtype == "i8") return Scalar::i8;
    if (dtype == "f16") return Scalar::f16;
    if (dtype == "f32") return Scalar::f32;
    throw Error(ErrorCode::config, "vectors of dtype '" + dtype + "': expected i8, f16 or f32");
}

// A graph and the buffer it lies in, which stays exported as long.
class MappedGraph {
public:
    MappedGraph(const py::buffer& file, std::size_t count, std::size_t dim, const std::string& dtype,
                std::size_t threads)
        : file_(file.request()),
          graph_({static_cast<const std::uint8_t*>(file_.ptr), static_cast<std::size_t>(file_.size * file_.itemsize)},
                 count, dim, scalar_of(dtype), threads) {}

    const HnswGraph& graph() const { return graph_; }

private:
    py::buffer_info file_;
    HnswGraph graph_;
};

// Rows and scores, -1 and minus infinity behind the last hit.
py::tuple to_python(const std::vector<std::vector<Hit>>& found, std::size_t k) {
    const auto shape = {static_cast<py::ssize_t>(found.size()), static_cast<py::ssize_t>(k)};
    IndexArray rows(shape);
    FloatArray scores(shape);
    auto* row = rows.mutable_data();
    auto* score = scores.mutable_data();
    for (const auto& hits : found)
        for (std::size_t i = 0; i < k; ++i) {
            *row++ = i < hits.size() ? std::int64_t{hits[i].row} : -1;
            *score++ = i < hits.size() ? hits[i].score : -std::numeric_limits<float>::infinity();
        }
    return py::make_tuple(std::move(rows), std::move(scores));
}

void check_dim(const FloatArray& vectors, py::ssize_t axis, const HnswGraph& graph) {
    if (vectors.ndim() != axis + 1 || vectors.shape(axis) != static_cast<py::ssize_t>(graph.dim()))
        throw Error(ErrorCode::config, "vectors of another shape: expected " + std::to_string(graph.dim()) + " floats");
}

py::tuple nearest(const MappedGraph& mapped, const FloatArray& queries, std::size_t k, std::size_t expansion,
                  std::size_t spare) {
    const HnswGraph& graph = mapped.graph();
    check_dim(queries, 1, graph);
    k = std::min(k, graph.count());
    const auto asked = copy_of(queries);
    std::vector<std::vector<Hit>> found;
    {
        const py::gil_scoped_release release;
        found =
            graph.nearest(asked, k, std::min(expansion, graph.count()), std::min(spare, graph.count()), check_signals);
    }
    return to_python(found, k);
}

py::tuple exact(const MappedGraph& mapped, const FloatArray& query, const std::optional<IndexArray>& rows,
                std::size_t k) {
    check_dim(query, 0, mapped.graph());
    const auto asked = copy_of(query);
    const auto candidates = rows ? copy_of(*rows) : std::vector<std::int64_t>();
    const auto view = rows ? std::optional(std::span(candidates)) : std::nullopt;
    std::vector<Hit> found;
    {
        const py::gil_scoped_release release;
        found = mapped.graph().exact(asked, view, k, check_signals);
    }
    return to_python({found}, found.size());
}

}  // namespace

void register_hnsw_graph(py::module_& module) {
    py::class_<MappedGraph>(module, "HnswGraph", py::is_final(),
                            "Search in a usearch file that was checked before. Safe to share between threads.")
        .def(py::init<const py::buffer&, std::size_t, std::size_t, const std::string&, std::size_t>(), py::arg("file"),
             py::kw_only(), py::arg("count"), py::arg("dim"), py::arg("dtype"), py::arg("threads") = 0)
        .def("nearest", &nearest, py::arg("queries").noconvert(), py::arg("k"), py::kw_only(), py::arg("expansion"),
             py::arg("spare"),
             "Rows int64[q, k] and cosine scores float32[q, k] of float32[q, dim], best first; -1 and -inf behind the "
             "last one.")
        .def("exact", &exact, py::arg("query").noconvert(), py::arg("rows").noconvert().none(true), py::arg("k"),
             "The best k of int64 rows, or of all, for float32[dim]: rows int64[1, m] and scores float32[1, m].");
}

}  // namespace memvid::bindings
