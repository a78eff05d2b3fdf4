#include <pybind11/stl/filesystem.h>

#include <memory>

#include "common.hpp"
#include "memvid/error.hpp"
#include "memvid/graph_builder.hpp"

namespace memvid::bindings {

namespace {

Instructions instructions_of(const std::string& name) {
    if (name == "best") return best_instructions();
    if (name == "portable") return Instructions::portable;
    if (name == "avx2") return Instructions::avx2;
    if (name == "avx512_vnni") return Instructions::avx512_vnni;
    throw Error(ErrorCode::config, "instructions '" + name + "': expected best, portable, avx2 or avx512_vnni");
}

std::unique_ptr<GraphBuilder> make_builder(std::size_t dim, const std::string& dtype, std::size_t connectivity,
                                           std::size_t expansion, std::size_t threads,
                                           const std::string& instructions) {
    return std::make_unique<GraphBuilder>(
        GraphOptions{dim, scalar_of(dtype), connectivity, expansion, threads, instructions_of(instructions)});
}

// Rows of so many bytes, one behind the other.
ByteView rows_of(const py::buffer_info& info, std::size_t row_bytes) {
    const auto bytes_a_row = info.ndim == 2 ? info.shape[1] * info.itemsize : -1;
    if (bytes_a_row != static_cast<py::ssize_t>(row_bytes) || PyBuffer_IsContiguous(info.view(), 'C') == 0)
        throw Error(ErrorCode::config, "vectors of another shape or dtype than the graph's, or not contiguous");
    return {static_cast<const std::uint8_t*>(info.ptr), static_cast<std::size_t>(info.size * info.itemsize)};
}

void add(GraphBuilder& builder, std::uint64_t first_key, const py::buffer& vectors) {
    const py::buffer_info info = vectors.request();
    const ByteView bytes = rows_of(info, builder.row_bytes());
    const py::gil_scoped_release release;
    builder.add(first_key, bytes, check_signals);
}

void add_codes(GraphBuilder& builder, std::uint64_t first_key, const py::buffer& codes) {
    const py::buffer_info info = codes.request();
    const ByteView bytes = rows_of(info, builder.code_bytes());
    const py::gil_scoped_release release;
    builder.add_codes(first_key, bytes, check_signals);
}

}  // namespace

void register_graph_builder(py::module_& module) {
    py::class_<GraphBuilder>(module, "GraphBuilder", py::is_final(),
                             "Builds an HNSW graph on all cores, the same on any number of them. One thread at a time.")
        .def(py::init(&make_builder), py::arg("dim"), py::kw_only(), py::arg("dtype"), py::arg("connectivity"),
             py::arg("expansion"), py::arg("threads") = 0, py::arg("instructions") = "best")
        .def("add", &add, py::arg("first_key"), py::arg("vectors"),
             "Take rows of the dtype under the keys first_key, first_key + 1, ...; the buffer must stay as it is. Rows "
             "that become codes are int16, from -8191 to 8191.")
        .def("add_codes", &add_codes, py::arg("first_key"), py::arg("codes"),
             "The same with uint8[n, m], codes as a file has them.")
        .def(
            "save",
            [](GraphBuilder& builder, const std::filesystem::path& path) {
                const py::gil_scoped_release release;
                builder.save(path.native(), check_signals);
            },
            py::arg("path"), "Finish the graph and write it.")
        .def_property_readonly("rows", &GraphBuilder::rows)
        .def_property_readonly("nodes", &GraphBuilder::nodes, "Rows that differ from all before them.");
}

}  // namespace memvid::bindings
