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
    }
    return "MemvidError";
}

void raise(const Error& error) {
    const py::object type = py::module_::import("memvid.errors").attr(class_name(error.code()));
    // An OSError made of (errno, message) carries the number where Python programs look for it.
    const py::object exception =
        error.system_error() != 0 ? type(error.system_error(), error.what()) : type(error.what());
    PyErr_SetObject(type.ptr(), exception.ptr());
}

}  // namespace

void register_errors(py::module_&) {
    py::register_local_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const Error& error) {
            raise(error);
        }
    });
}

}  // namespace memvid::bindings
