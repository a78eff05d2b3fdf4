#include <pybind11/stl/filesystem.h>

#include "common.hpp"
#include "memvid/frame_writer.hpp"

namespace memvid::bindings {

namespace {

void write(FrameWriter& writer, const py::list& payloads) {
    const py::tuple held(payloads);  // keeps every payload alive, whatever happens to the list meanwhile
    std::vector<ByteView> views;
    views.reserve(held.size());
    for (const auto& payload : held) {
        if (!PyBytes_Check(payload.ptr())) throw py::type_error("a payload is not bytes");
        views.push_back(view_of(py::reinterpret_borrow<py::bytes>(payload)));
    }
    const py::gil_scoped_release release;
    writer.write(views, check_signals);
}

void finish(FrameWriter& writer, const py::bytes& page_table) {
    const ByteView table = view_of(page_table);
    const py::gil_scoped_release release;
    writer.finish(table);
}

}  // namespace

void register_frame_writer(py::module_& module) {
    py::class_<FrameWriter>(module, "FrameWriter", py::is_final(), "Payloads into the frames of a new video.")
        .def(py::init([](const std::filesystem::path& path, const SymbolOptions& symbol, int fps, std::size_t threads) {
                 const py::gil_scoped_release release;
                 return std::make_unique<FrameWriter>(path.native(), WriterOptions{symbol, fps, threads});
             }),
             py::arg("path"), py::arg("symbol"), py::kw_only(), py::arg("fps") = 30, py::arg("threads") = 0)
        .def("write", &write, py::arg("payloads"), "Appends a frame for each of the payloads (bytes).")
        .def("finish", &finish, py::arg("page_table"),
             "Writes the movie header and waits until the device has the file.")
        .def_property_readonly("frames",
                               [](const FrameWriter& self) {
                                   const py::gil_scoped_release release;
                                   return self.frames();
                               })
        .def_property_readonly("bytes",
                               [](const FrameWriter& self) {
                                   const py::gil_scoped_release release;
                                   return self.bytes();
                               })
        .def_property_readonly("width", [](const FrameWriter& self) { return self.geometry().width; })
        .def_property_readonly("height", [](const FrameWriter& self) { return self.geometry().height; });
}

}  // namespace memvid::bindings
