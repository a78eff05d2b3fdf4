#include "common.hpp"
#include "memvid/error.hpp"
#include "memvid/picture_reader.hpp"

namespace memvid::bindings {

namespace {

GreyPicture to_picture(const py::handle& object) {
    if (object.is_none()) return {};
    if (!py::isinstance<GreyArray>(object)) throw py::type_error("a picture is neither None nor an array of uint8");
    const auto image = py::reinterpret_borrow<GreyArray>(object);
    if (image.ndim() != 2 || image.size() == 0 || image.shape(0) > max_picture_side ||
        image.shape(1) > max_picture_side)
        throw Error(ErrorCode::config, "a picture is an array of uint8, [height, width], of at most " +
                                           std::to_string(max_picture_side) + " pixels a side");
    return {static_cast<int>(image.shape(1)), static_cast<int>(image.shape(0)),
            Bytes(image.data(), image.data() + image.size())};
}

// Asks Python for pictures. Called without the GIL, by the thread that called in; what Python raises ends the batch.
PictureReader::Fetch make_fetch(py::function fetch) {
    return [fetch = std::make_shared<py::function>(std::move(fetch))](std::span<const std::size_t> frames) {
        const py::gil_scoped_acquire acquire;
        py::list wanted;
        for (const std::size_t frame : frames) wanted.append(frame);
        std::vector<GreyPicture> pictures;
        for (const auto& picture : py::list((*fetch)(wanted))) pictures.push_back(to_picture(picture));
        return pictures;
    };
}

}  // namespace

void register_picture_reader(py::module_& module) {
    py::class_<PictureReader, FrameSource>(module, "PictureReader", py::is_final(),
                                           "Frames whose pictures Python decodes. Safe to share if `fetch` is.")
        .def(py::init([](py::function fetch, std::size_t frames, std::shared_ptr<DetectionBudget> budget, std::size_t threads,
                         std::size_t batch) {
                 return std::make_unique<PictureReader>(make_fetch(std::move(fetch)), frames, threads,
                                                        budget ? std::move(budget)
                                                               : std::make_shared<DetectionBudget>(DetectionBudget::work_for(0)),
                                                        batch);
             }),
             py::arg("fetch"), py::arg("frames"), py::kw_only(), py::arg("budget") = nullptr, py::arg("threads") = 0,
             py::arg("batch") = 32,
             "`fetch` gets a list of `batch` frames at most and returns uint8[height, width], or None, for each.");
}

}  // namespace memvid::bindings
