#include <pybind11/stl.h>

#include <algorithm>
#include <limits>

#include "mapped_index.hpp"

namespace memvid::bindings {

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;
using BitmapArray = py::array_t<std::uint64_t, py::array::c_style>;

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

// Rows that a search may find, as bits from `first` on.
RowSet row_set(const BitmapArray& bits, std::size_t first, const HnswGraph& graph) {
    const RowSet set{span_of(bits), first};
    if (first > set.words.size() * 64 || graph.count() > set.words.size() * 64 - first)
        throw Error(ErrorCode::config, "fewer bits than rows");
    return set;
}

py::tuple nearest(const MappedGraph& mapped, const FloatArray& queries, std::size_t k, std::size_t expansion,
                  std::size_t spare, const std::optional<BitmapArray>& allowed, std::size_t first, bool distinct,
                  std::size_t through, std::size_t skimmed) {
    const HnswGraph& graph = mapped.graph();
    check_dim(queries, 1, graph);
    k = std::min(k, graph.count());
    const auto asked = copy_of(queries);
    const RowSet set = allowed ? row_set(*allowed, first, graph) : RowSet{};
    std::vector<std::vector<Hit>> found;
    {
        const py::gil_scoped_release release;
        found = graph.nearest(asked, k, std::min(expansion, graph.count()), std::min(spare, graph.count()),
                              {allowed ? &set : nullptr, distinct, through, skimmed}, check_signals);
    }
    return to_python(found, k);
}

py::tuple exact(const MappedGraph& mapped, const FloatArray& query, const std::optional<IndexArray>& rows,
                std::size_t k, bool distinct) {
    check_dim(query, 0, mapped.graph());
    const auto asked = copy_of(query);
    const auto candidates = rows ? copy_of(*rows) : std::vector<std::int64_t>();
    const auto view = rows ? std::optional(std::span(candidates)) : std::nullopt;
    std::vector<Hit> found;
    {
        const py::gil_scoped_release release;
        found = mapped.graph().exact(asked, view, k, distinct, check_signals);
    }
    return to_python({found}, found.size());
}

void check_row(std::int64_t row, const NodeRows& rows) {
    if (row < 0 || static_cast<std::uint64_t>(row) >= rows.rows())
        throw Error(ErrorCode::config, "there is no row " + std::to_string(row));
}

IndexArray nodes_of(const MappedGraph& mapped, const IndexArray& rows) {
    const NodeRows& known = mapped.graph().rows();
    IndexArray nodes(rows.size());
    for (py::ssize_t i = 0; i < rows.size(); ++i) {
        check_row(rows.data()[i], known);
        nodes.mutable_data()[i] = known.node(static_cast<std::uint32_t>(rows.data()[i]));
    }
    return nodes;
}

IndexArray copies_of(const MappedGraph& mapped, std::int64_t row) {
    const NodeRows& known = mapped.graph().rows();
    check_row(row, known);
    const std::uint32_t node = known.node(static_cast<std::uint32_t>(row));
    const auto others = known.copies(node);
    IndexArray rows(static_cast<py::ssize_t>(1 + others.size()));
    rows.mutable_data()[0] = known.first_row(node);
    std::copy(others.begin(), others.end(), rows.mutable_data() + 1);
    return rows;
}

// Places in the matrix that are there.
std::vector<std::uint32_t> checked_nodes(const HnswGraph& graph, const IndexArray& nodes) {
    std::vector<std::uint32_t> checked;
    for (const auto node : span_of(nodes)) {
        if (node < 0 || static_cast<std::uint64_t>(node) >= graph.nodes())
            throw Error(ErrorCode::config, "there is no vector " + std::to_string(node));
        checked.push_back(static_cast<std::uint32_t>(node));
    }
    return checked;
}

FloatArray decode(const MappedGraph& mapped, const IndexArray& nodes) {
    const HnswGraph& graph = mapped.graph();
    const auto wanted = checked_nodes(graph, nodes);
    FloatArray vectors({static_cast<py::ssize_t>(wanted.size()), static_cast<py::ssize_t>(graph.dim())});
    const std::span<float> all(vectors.mutable_data(), wanted.size() * graph.dim());
    const py::gil_scoped_release release;
    for (std::size_t i = 0; i < wanted.size(); ++i)
        graph.decode(wanted[i], all.subspan(i * graph.dim(), graph.dim()));
    return vectors;
}

GreyArray stored(const MappedGraph& mapped, const IndexArray& nodes) {
    const HnswGraph& graph = mapped.graph();
    const auto wanted = checked_nodes(graph, nodes);
    GreyArray rows({static_cast<py::ssize_t>(wanted.size()), static_cast<py::ssize_t>(graph.row_bytes())});
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const ByteView row = graph.matrix().subspan(wanted[i] * graph.row_bytes(), graph.row_bytes());
        std::copy(row.begin(), row.end(), rows.mutable_data() + i * graph.row_bytes());
    }
    return rows;
}

py::list links_of(const MappedGraph& mapped, std::int64_t node) {
    const HnswGraph& graph = mapped.graph();
    IndexArray one(1);
    one.mutable_data()[0] = node;
    const std::uint32_t from = checked_nodes(graph, one).front();
    py::list levels;
    if (!graph.is_linked()) return levels;
    for (std::size_t level = 0; level <= graph.links().level_of(from); ++level) {
        const auto list = graph.links().list(from, level);
        IndexArray neighbours(static_cast<py::ssize_t>(list.size));
        for (std::size_t i = 0; i < list.size; ++i) neighbours.mutable_data()[i] = graph.links().neighbour(list, i);
        levels.append(std::move(neighbours));
    }
    return levels;
}

}  // namespace

void register_hnsw_graph(py::module_& module) {
    py::class_<MappedGraph>(module, "HnswGraph", py::is_final(),
                            "Search in a file of vectors that was checked before. Safe to share between threads.")
        .def(py::init<const py::buffer&, std::size_t, std::size_t, const std::string&, std::size_t>(), py::arg("file"),
             py::kw_only(), py::arg("count"), py::arg("dim"), py::arg("dtype"), py::arg("threads") = 0)
        .def(
            "nearest", &nearest, py::arg("queries").noconvert(), py::arg("k"), py::kw_only(), py::arg("expansion"),
            py::arg("spare"), py::arg("allowed").noconvert().none(true) = py::none(), py::arg("first") = 0,
            py::arg("distinct") = false, py::arg("through") = SIZE_MAX, py::arg("skimmed") = 0,
            "Rows int64[q, k] and cosine scores float32[q, k] of float32[q, dim], best first; -1 and -inf behind the "
            "last one. Of uint64 words of bits, row r is allowed where bit first + r is set; a walk through all nodes "
            "that has no beam full of them after `through` vectors gives up; then all that are allowed are skimmed, and the "
            "best `skimmed` of them compared, or nothing is found if that is 0.")
        .def("exact", &exact, py::arg("query").noconvert(), py::arg("rows").noconvert().none(true), py::arg("k"),
             py::kw_only(), py::arg("distinct") = false,
             "The best k of int64 rows, or of all, for float32[dim]: rows int64[1, m] and scores float32[1, m].")
        .def("nodes_of", &nodes_of, py::arg("rows").noconvert(),
             "int64[n]: where in the matrix the vectors of int64 rows are.")
        .def("copies_of", &copies_of, py::arg("row"), "int64[n], ascending: the rows that have the vector of a row.")
        .def(
            "check",
            [](const MappedGraph& mapped) {
                const py::gil_scoped_release release;
                mapped.graph().check();
            },
            "Go through all links, and all factors of codes.")
        .def("decode", &decode, py::arg("nodes").noconvert(), "float32[n, dim]: directions that codes stand for.")
        .def("stored", &stored, py::arg("nodes").noconvert(), "uint8[n, m]: vectors as they are stored.")
        .def("links_of", &links_of, py::arg("node"), "The neighbours of a node, int64 for each of its levels.")
        .def_property_readonly("is_linked", [](const MappedGraph& mapped) { return mapped.graph().is_linked(); })
        .def_property_readonly("nodes", [](const MappedGraph& mapped) { return mapped.graph().nodes(); });
}

}  // namespace memvid::bindings
