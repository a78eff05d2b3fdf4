#include "common.hpp"
#include "memvid/error.hpp"

namespace memvid::bindings {

namespace {

const char* class_name(ErrorCode code) {
    switch (code) {
        case ErrorCode::config: return "ConfigError";
        case ErrorCode::not_found: return "VideoNotFoundError";
        case ErrorCode::io: return "VideoError";
        case ErrorCode::format: return "VideoFormatError";
        case ErrorCode::unsupported: return "UnsupportedVideoError";
        case ErrorCode::output: return "OutputError";
        case ErrorCode::too_large: return "ChunkTooLargeError";
        case ErrorCode::closed: return "ClosedError";
        case ErrorCode::limit: return "ResourceLimitError";
    }
    return "MemvidError";
}

void raise(const Error& error) {
    const py::object type = py::module_::import("memvid.errors").attr(class_name(error.code()));
    // A path in it may be bytes that are no UTF-8; Python has them as surrogates, as in os.fsdecode.
    const auto message = py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefault(error.what()));
    if (!message) throw py::error_already_set();
    // An OSError made of (errno, message) carries the number where Python programs look for it.
    const py::object exception = error.system_error() != 0 ? type(error.system_error(), message) : type(message);
    PyErr_SetObject(type.ptr(), exception.ptr());
}

}  // namespace

void register_errors(py::module_&) {
    py::register_local_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const Error& error) {
            raise(error);
        } catch (const std::runtime_error&) {
            // pybind11 has one for each object that Python has no memory for, and Python its own error already.
            if (PyErr_Occurred() == nullptr || PyErr_ExceptionMatches(PyExc_MemoryError) == 0) throw;
        }
    });
}

}  // namespace memvid::bindings
