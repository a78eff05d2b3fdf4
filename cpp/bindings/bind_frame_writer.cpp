#include <pybind11/stl.h>
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

void write_cover(FrameWriter& writer, const py::array_t<std::uint8_t, py::array::c_style>& pixels) {
    const ByteView view(pixels.data(), static_cast<std::size_t>(pixels.size()));
    const py::gil_scoped_release release;
    writer.write_cover(view);
}

void finish(FrameWriter& writer, const py::bytes& page_table) {
    const ByteView table = view_of(page_table);
    const py::gil_scoped_release release;
    writer.finish(table);
}

}  // namespace

void register_frame_writer(py::module_& module) {
    py::class_<FrameWriter>(module, "FrameWriter", py::is_final(),
                            "Payloads into the frames of a new video, or behind those of one there is.")
        .def(py::init([](const std::filesystem::path& path, const SymbolOptions& symbol, int fps, std::size_t threads) {
                 const py::gil_scoped_release release;
                 return std::make_unique<FrameWriter>(path.native(), WriterOptions{symbol, fps, threads});
             }),
             py::arg("path"), py::arg("symbol"), py::kw_only(), py::arg("fps") = 30, py::arg("threads") = 0)
        .def_static(
            "append_to",
            [](const std::filesystem::path& path, const SymbolOptions& symbol, std::size_t threads) {
                const py::gil_scoped_release release;
                return FrameWriter::append_to(path.native(), WriterOptions{symbol, 30, threads});
            },
            py::arg("path"), py::arg("symbol"), py::kw_only(), py::arg("threads") = 0,
            "Goes on behind the frames of a video; nothing of it counts before commit_append(path, mark).")
        .def(
            "abandon",
            [](FrameWriter& self) {
                const py::gil_scoped_release release;
                self.abandon();
            },
            "Cuts an append off that was not committed.")
        .def_property_readonly("mark", &FrameWriter::mark)
        .def_property_readonly("movie",
                               [](const FrameWriter& self) {
                                   const py::gil_scoped_release release;
                                   return self.movie_offset();
                               })
        .def("write", &write, py::arg("payloads"), "Appends a frame for each of the payloads (bytes).")
        .def("write_cover", &write_cover, py::arg("pixels"),
             "Appends a picture, uint8[height, width], as the first frame, which is shown for a second.")
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
    module.def(
        "check_append",
        [](const std::filesystem::path& path, const SymbolOptions& symbol) {
            const py::gil_scoped_release release;
            FrameWriter::check_append(path.native(), WriterOptions{symbol, 30, 1});
        },
        py::arg("path"), py::arg("symbol"), "Raises what keeps frames from being put behind those of a video.");
    module.def(
        "copy_movie",
        [](const std::filesystem::path& path, const std::filesystem::path& to, std::optional<std::uint64_t> movie) {
            const py::gil_scoped_release release;
            copy_movie(path.native(), movie, to.native(), check_signals);
        },
        py::arg("path"), py::arg("to"), py::kw_only(), py::arg("movie") = py::none(),
        "Writes the frames of a video into a new file, as they are, with the page table and nothing else.");
    module.def(
        "commit_append",
        [](const std::filesystem::path& path, std::uint64_t mark) {
            const py::gil_scoped_release release;
            commit_append(path.native(), mark);
        },
        py::arg("path"), py::arg("mark"), "Makes a complete append count; doing it again is harmless.");
}

}  // namespace memvid::bindings
