#include <pybind11/stl.h>

#include <string>

#include "common.hpp"
#include "memvid/detection_budget.hpp"
#include "memvid/error.hpp"
#include "memvid/page_checksum.hpp"
#include "memvid/qr_code.hpp"
#include "memvid/symbol_writer.hpp"

namespace memvid::bindings {

namespace {

ErrorCorrection parse_level(const std::string& level) {
    for (int i = 0; i < 4; ++i)
        if (level == std::string(1, "LMQH"[i])) return static_cast<ErrorCorrection>(i);
    throw Error(ErrorCode::config, "error correction level '" + level + "' is not one of L, M, Q, H");
}

SymbolOptions make_options(int version, const std::string& level, std::optional<int> data_mask, bool utf8) {
    return {version, parse_level(level), data_mask.value_or(-1), utf8};
}

GreyArray create(const py::bytes& payload, const SymbolOptions& options) {
    const ByteView bytes = view_of(payload);
    Symbol symbol;
    {
        const py::gil_scoped_release release;
        symbol = create_symbol(bytes, options);
    }
    GreyArray image({symbol.side, symbol.side});
    for (std::size_t i = 0; i < symbol.modules.size(); ++i) image.mutable_data()[i] = symbol.modules[i] != 0 ? 0 : 255;
    return image;
}

py::object read(const GreyArray& image, bool pure, DetectionBudget* budget) {
    if (budget != nullptr && budget->is_spent()) return py::none();
    if (image.ndim() != 2 || image.size() == 0)
        throw Error(ErrorCode::config, "a picture is an array of uint8 with two dimensions, [height, width]");
    if (image.shape(0) > max_picture_side || image.shape(1) > max_picture_side)
        throw Error(ErrorCode::config, "a picture of " + std::to_string(image.shape(1)) + " x " +
                                           std::to_string(image.shape(0)) + " pixels: at most " +
                                           std::to_string(max_picture_side) + " a side can be read");
    const GreyImageView view{image.data(), static_cast<int>(image.shape(1)), static_cast<int>(image.shape(0)),
                             static_cast<std::size_t>(image.shape(1))};
    std::optional<Bytes> payload;
    {
        const py::gil_scoped_release release;
        std::int64_t work = 0;
        payload = read_symbol(view, pure ? Detection::pure : Detection::full, &work);
        if (budget != nullptr && (!payload || verify_payload(*payload, std::nullopt) == Verdict::wrong))
            budget->spend(work);
    }
    return payload ? py::object(to_python(*payload)) : py::none();
}

}  // namespace

void register_symbols(py::module_& module) {
    py::class_<SymbolOptions>(module, "SymbolOptions", py::is_final(), "How a QR code is drawn.")
        .def(py::init(&make_options), py::kw_only(), py::arg("version") = 40, py::arg("level") = "L",
             py::arg("data_mask") = 0, py::arg("utf8") = false);
    module.def("symbol_capacity", &symbol_capacity, py::arg("options"), "Bytes that fit into one symbol.");
    module.def("create_symbol", &create, py::arg("payload"), py::arg("options"),
               "Modules of the symbol without a quiet zone: uint8[side, side], 0 black, 255 white.");
    py::class_<DetectionBudget, std::shared_ptr<DetectionBudget>>(
        module, "DetectionBudget", py::is_final(),
        "What the detector may do in vain: about 100 million are done in a second. Readers may share one.")
        .def(py::init<std::int64_t>(), py::arg("work"))
        .def_static("work_for", &DetectionBudget::work_for, py::arg("file_bytes"), "What a file of ours gets.")
        .def_property_readonly("is_spent", &DetectionBudget::is_spent);
    module.def("read_symbol", &read, py::arg("image").noconvert(), py::kw_only(), py::arg("pure") = false,
               py::arg("budget") = nullptr,
               "Content bytes of the symbol in uint8[height, width], or None; None, too, when the budget is spent.");
}

}  // namespace memvid::bindings
