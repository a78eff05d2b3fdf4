#include "common.hpp"
#include "memvid/png_frame.hpp"

namespace py = pybind11;
using namespace memvid::bindings;

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
    module.doc() =
        "Native core of memvid: QR codes, PNG frames, MP4 files, pages, and search by vectors and words. Private: use "
        "the memvid package.";
    register_errors(module);
    register_symbols(module);
    register_frame_source(module);  // before what derives from it
    register_frame_reader(module);
    register_picture_reader(module);
    register_chunk_reader(module);
    register_frame_writer(module);
    register_graph_builder(module);
    register_hnsw_graph(module);
    register_words(module);
    register_candidate_search(module);
    register_fields(module);
    module.def(
        "build_info",
        [] {
            py::dict info;
            info["version"] = MEMVID_VERSION;
            info["compiler"] = MEMVID_COMPILER;
            info["zxing_cpp"] = MEMVID_ZXING_VERSION;
            info["libdeflate"] = MEMVID_LIBDEFLATE_VERSION;
            info["zstd"] = MEMVID_ZSTD_VERSION;
            return info;
        },
        "What this extension was built from.");
    module.def("available_cores", &memvid::available_cores, "Cores this process may run on.");
}
