#include <pybind11/stl/filesystem.h>

#include "common.hpp"
#include "memvid/error.hpp"
#include "memvid/frame_reader.hpp"

namespace memvid::bindings {

namespace {

// Payloads in the caller's order, a bytes object for each distinct frame, None where the status is not ok.
py::tuple to_python(const FrameBatch& batch) {
    std::vector<py::object> payloads;
    payloads.reserve(batch.results.size());
    for (const auto& result : batch.results)
        payloads.push_back(result.status == FrameStatus::ok ? py::object(bindings::to_python(result.payload))
                                                            : py::none());
    py::list in_order(batch.plan.slots.size());
    GreyArray statuses(static_cast<py::ssize_t>(batch.plan.slots.size()));
    for (std::size_t i = 0; i < batch.plan.slots.size(); ++i) {
        in_order[i] = payloads[batch.plan.slots[i]];
        statuses.mutable_data()[i] = static_cast<std::uint8_t>(batch.results[batch.plan.slots[i]].status);
    }
    return py::make_tuple(std::move(in_order), std::move(statuses));
}

py::tuple read(const FrameReader& reader, const IndexArray& indices, bool corrected) {
    const auto wanted = copy_of(indices);
    FrameBatch batch;
    {
        const py::gil_scoped_release release;
        batch = reader.read(wanted, corrected ? Decoder::corrected : Decoder::automatic, check_signals);
    }
    return to_python(batch);
}

GreyArray read_pixels(const FrameReader& reader, std::int64_t index) {
    const std::int64_t indices[] = {index};
    plan_frames(indices, reader.movie().samples.size());
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

py::dict counters(const FrameReader& reader) {
    const ReadCounters counters = reader.counters();
    py::dict result;
    result["frames"] = counters.frames;
    result["bytes"] = counters.bytes;
    result["fast"] = counters.fast;
    result["corrected"] = counters.corrected;
    result["detected"] = counters.detected;
    result["failed"] = counters.failed;
    return result;
}

}  // namespace

void register_frame_reader(py::module_& module) {
    py::class_<FrameReader>(module, "FrameReader", py::is_final(),
                            "Batches of frames out of a video. Safe to share between threads.")
        .def(py::init([](const std::filesystem::path& path, std::size_t threads) {
                 const py::gil_scoped_release release;
                 return std::make_unique<FrameReader>(path.native(), threads);
             }),
             py::arg("path"), py::kw_only(), py::arg("threads") = 0)
        .def_property_readonly("codec", [](const FrameReader& self) { return self.movie().codec; })
        .def_property_readonly("width", [](const FrameReader& self) { return self.movie().width; })
        .def_property_readonly("height", [](const FrameReader& self) { return self.movie().height; })
        .def_property_readonly("fps", [](const FrameReader& self) { return self.movie().frames_per_second; })
        .def_property_readonly("frame_count", [](const FrameReader& self) { return self.movie().samples.size(); })
        .def_property_readonly("file_size", &FrameReader::file_size)
        .def_property_readonly("page_table",
                               [](const FrameReader& self) -> py::object {
                                   const auto& table = self.movie().page_table;
                                   return table ? py::object(bindings::to_python(*table)) : py::none();
                               })
        .def(
            "expect", [](FrameReader& self, const ChecksumArray& checksums) { self.expect(copy_of(checksums)); },
            py::arg("checksums").noconvert(),
            "From now on frame i must have checksums[i] (uint32). Call it before the reader is shared.")
        .def("read", &read, py::arg("indices").noconvert(), py::kw_only(), py::arg("corrected") = false,
             "Payloads (bytes or None) and statuses (uint8) of int64 frame indices, in their order.")
        .def("read_pixels", &read_pixels, py::arg("index"), "The picture of one frame: uint8[height, width].")
        .def("counters", &counters, "How many frames were read, and how.");
}

}  // namespace memvid::bindings
