// What every bound function does the same way: bytes in, exceptions out, the GIL released in between.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <span>
#include <string>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/error.hpp"
#include "memvid/similarity.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid::bindings {

namespace py = pybind11;

using IndexArray = py::array_t<std::int64_t, py::array::c_style>;
using ChecksumArray = py::array_t<std::uint32_t, py::array::c_style>;
using GreyArray = py::array_t<std::uint8_t, py::array::c_style>;

constexpr py::ssize_t max_picture_side = 32767;  // pixels; what zxing-cpp takes

inline ByteView view_of(const py::bytes& bytes) {
    char* data = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(bytes.ptr(), &data, &size) != 0) throw py::error_already_set();
    return {reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)};
}

inline py::bytes to_python(ByteView bytes) {
    return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

template <typename T>
std::span<const T> span_of(const py::array_t<T, py::array::c_style>& array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

// What a native call works on while it has released the GIL: the array itself could change meanwhile.
template <typename T>
std::vector<T> copy_of(const py::array_t<T, py::array::c_style>& array) {
    const auto view = span_of(array);
    return {view.begin(), view.end()};
}

// Lets Ctrl-C end a native batch. Runs on the calling thread, which has released the GIL.
inline void check_signals() {
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

inline Scalar scalar_of(const std::string& dtype) {
    if (dtype == "i8") return Scalar::i8;
    if (dtype == "f16") return Scalar::f16;
    if (dtype == "f32") return Scalar::f32;
    if (dtype == "code4") return Scalar::code4;
    if (dtype == "code1") return Scalar::code1;
    throw Error(ErrorCode::config, "vectors of dtype '" + dtype + "': expected i8, f16, f32, code4 or code1");
}

void register_errors(py::module_& module);
void register_symbols(py::module_& module);
void register_frame_source(py::module_& module);
void register_frame_reader(py::module_& module);
void register_picture_reader(py::module_& module);
void register_chunk_reader(py::module_& module);
void register_frame_writer(py::module_& module);
void register_graph_builder(py::module_& module);
void register_hnsw_graph(py::module_& module);
void register_words(py::module_& module);
void register_candidate_search(py::module_& module);
void register_fields(py::module_& module);

}  // namespace memvid::bindings
