#include "common.hpp"
#include "memvid/frame_source.hpp"

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

py::tuple read(const FrameSource& source, const IndexArray& indices, bool corrected) {
    const auto wanted = copy_of(indices);
    FrameBatch batch;
    {
        const py::gil_scoped_release release;
        batch = source.read(wanted, corrected ? Decoder::corrected : Decoder::automatic, check_signals);
    }
    return to_python(batch);
}

py::dict counters(const FrameSource& source) {
    const ReadCounters counters = source.counters();
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

void register_frame_source(py::module_& module) {
    py::class_<FrameSource>(module, "FrameSource", "Payloads, frame by frame. Safe to share between threads.")
        .def_property_readonly("frame_count", &FrameSource::frame_count)
        .def(
            "expect", [](FrameSource& self, const ChecksumArray& checksums) { self.expect(copy_of(checksums)); },
            py::arg("checksums").noconvert(),
            "From now on frame i must have checksums[i] (uint32). Call it before the source is shared.")
        .def("read", &read, py::arg("indices").noconvert(), py::kw_only(), py::arg("corrected") = false,
             "Payloads (bytes or None) and statuses (uint8) of int64 frame indices, in their order.")
        .def("counters", &counters, "How many frames were read, and how.");
}

}  // namespace memvid::bindings
