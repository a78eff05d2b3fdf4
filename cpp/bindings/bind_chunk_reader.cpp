#include <pybind11/stl.h>

#include "common.hpp"
#include "memvid/chunk_reader.hpp"

namespace memvid::bindings {

namespace {

using CountArray = py::array_t<std::uint16_t, py::array::c_style>;

py::object to_text(ByteView bytes) {
    PyObject* text = PyUnicode_DecodeUTF8(reinterpret_cast<const char*>(bytes.data()),
                                          static_cast<py::ssize_t>(bytes.size()), nullptr);
    if (text != nullptr) return py::reinterpret_steal<py::object>(text);
    if (PyErr_ExceptionMatches(PyExc_UnicodeDecodeError) == 0) throw py::error_already_set();
    PyErr_Clear();
    return py::none();
}

// Texts, metadata and frames in the caller's order; of a chunk that is there twice, the same objects. The text is None
// where the page cannot be read and verified; then, and where there is no such chunk (frame -1), so is the metadata.
py::tuple read(const ChunkReader& reader, const IndexArray& ids, std::size_t unpacked, std::size_t answer) {
    const auto wanted = copy_of(ids);
    ChunkBatch batch;
    {
        const py::gil_scoped_release release;
        batch = reader.read(wanted, ReadLimits{unpacked, answer}, check_signals);
    }
    std::vector<std::pair<py::object, py::object>> made;
    made.reserve(batch.chunks.size());
    for (auto& chunk : batch.chunks) {
        py::object text = chunk.whole ? to_text(chunk.text) : py::none();
        py::object metadata = text.is_none() ? py::object(py::none()) : py::object(to_python(chunk.metadata));
        made.emplace_back(std::move(text), std::move(metadata));
        chunk.text = Bytes();  // so that the answer is not in memory twice
        chunk.metadata = Bytes();
    }
    py::list texts(wanted.size()), metadatas(wanted.size()), frames(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        texts[i] = made[batch.slots[i]].first;
        metadatas[i] = made[batch.slots[i]].second;
        frames[i] = batch.chunks[batch.slots[i]].frame;
    }
    return py::make_tuple(std::move(texts), std::move(metadatas), std::move(frames));
}

py::dict cache_stats(const ChunkReader& reader) {
    const auto stats = reader.cache_stats();
    py::dict result;
    result["hits"] = stats.hits;
    result["misses"] = stats.misses;
    result["pages"] = stats.pages;
    result["nbytes"] = stats.nbytes;
    return result;
}

}  // namespace

void register_chunk_reader(py::module_& module) {
    py::tuple versions(page_format_versions.size());
    for (std::size_t i = 0; i < page_format_versions.size(); ++i) versions[i] = page_format_versions[i];
    module.attr("PAGE_FORMAT_VERSIONS") = std::move(versions);
    py::class_<ChunkReader>(module, "ChunkReader", py::is_final(),
                            "Chunks out of a video, with a cache of decoded pages. Safe to share between threads.")
        .def(
            py::init([](const FrameSource& video, const IndexArray& frames, const IndexArray& first_chunks,
                        const CountArray& counts, const IndexArray& runs, const GreyArray& bare, std::uint32_t tag,
                        const std::optional<py::bytes>& dictionary, std::size_t cache_bytes) {
                DataFrames table{copy_of(frames), copy_of(first_chunks), copy_of(counts), copy_of(runs), copy_of(bare)};
                const auto view = dictionary ? std::optional(view_of(*dictionary)) : std::nullopt;
                return std::make_unique<ChunkReader>(video, std::move(table), tag, view, cache_bytes);
            }),
            py::arg("video"), py::kw_only(), py::arg("frames").noconvert(), py::arg("first_chunks").noconvert(),
            py::arg("counts").noconvert(), py::arg("runs").noconvert(), py::arg("bare").noconvert(), py::arg("tag"),
            py::arg("dictionary"), py::arg("cache_bytes"), py::keep_alive<1, 2>(),
            "Columns of the page table, a row for each page with chunks: int64, int64, uint16, int64, uint8.")
        .def("read", &read, py::arg("ids").noconvert(), py::kw_only(),
             py::arg("unpacked") = std::numeric_limits<std::size_t>::max(),
             py::arg("answer") = std::numeric_limits<std::size_t>::max(),
             "Texts (None where the page is bad), metadata (bytes) and frames (-1: no such chunk) of int64 chunk ids. "
             "ResourceLimitError before pages unpack to more than so many bytes, or the answer takes more.")
        .def("cache_stats", &cache_stats, "What the page cache did and holds.")
        .def("clear_cache", &ChunkReader::clear_cache, "Forget all decoded pages.");
}

}  // namespace memvid::bindings
