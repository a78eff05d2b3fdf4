#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "common.hpp"
#include "memvid/error.hpp"
#include "memvid/frame_reader.hpp"

namespace memvid::bindings {

namespace {

GreyArray read_pixels(const FrameReader& reader, std::int64_t index) {
    const std::int64_t indices[] = {index};
    plan_frames(indices, reader.frame_count());
    Bytes pixels;
    {
        const py::gil_scoped_release release;
        pixels = reader.read_pixels(static_cast<std::size_t>(index));
    }
    if (pixels.empty()) throw Error(ErrorCode::format, "frame " + std::to_string(index) + " is not a picture");
    GreyArray image({reader.movie().height, reader.movie().width});
    std::copy(pixels.begin(), pixels.end(), image.mutable_data());
    return image;
}

}  // namespace

void register_frame_reader(py::module_& module) {
    module.attr("PAGE_TABLE_UUID") = to_python(page_table_uuid);
    module.attr("APPEND_UUID") = to_python(append_uuid);
    module.attr("INDEX_UUID") = to_python(index_uuid);
    module.attr("MANIFEST_UUID") = to_python(manifest_uuid);
    py::class_<FrameReader, FrameSource>(module, "FrameReader", py::is_final(),
                                         "Batches of frames out of a video. Safe to share between threads.")
        .def(py::init([](const std::filesystem::path& path, std::size_t threads, std::optional<std::uint64_t> movie) {
                 const py::gil_scoped_release release;
                 return std::make_unique<FrameReader>(path.native(), threads, movie);
             }),
             py::arg("path"), py::kw_only(), py::arg("threads") = 0, py::arg("movie") = py::none())
        .def_property_readonly("codec", [](const FrameReader& self) { return self.movie().codec; })
        .def_property_readonly("width", [](const FrameReader& self) { return self.movie().width; })
        .def_property_readonly("height", [](const FrameReader& self) { return self.movie().height; })
        .def_property_readonly("fps", [](const FrameReader& self) { return self.movie().frames_per_second; })
        .def_property_readonly("file_size", &FrameReader::file_size)
        .def_property_readonly("page_table",
                               [](const FrameReader& self) -> py::object {
                                   const auto& table = self.movie().page_table;
                                   return table ? py::object(bindings::to_python(*table)) : py::none();
                               })
        .def(
            "place", [](FrameReader& self, const IndexArray& places) { self.place(copy_of(places)); },
            py::arg("places").noconvert(),
            "From now on frame i is the sample places[i] (int64), -1 none. Call it before the reader is shared.")
        .def("read_pixels", &read_pixels, py::arg("index"), "The picture of one frame: uint8[height, width].");
}

}  // namespace memvid::bindings
