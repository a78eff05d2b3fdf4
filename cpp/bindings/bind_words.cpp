#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "mapped_index.hpp"
#include "memvid/error.hpp"
#include "memvid/file.hpp"
#include "memvid/postings_writer.hpp"

namespace memvid::bindings {

namespace {

using ScoreArray = py::array_t<float, py::array::c_style>;
using SetArray = py::array_t<std::uint64_t, py::array::c_style>;

// The set is not copied: whoever made it does not change it any more.
py::tuple search(const MappedWords& words, const std::vector<std::string>& terms, std::size_t k,
                 const std::optional<SetArray>& allowed) {
    const RowBits set = allowed ? span_of(*allowed) : RowBits();
    if (allowed && set.size() != (std::size_t{words.index().rows()} + 63) / 64)
        throw Error(ErrorCode::config, "a set of other rows than the index has");
    std::vector<ScoredRow> found;
    {
        const py::gil_scoped_release release;
        found = words.index().search(terms, k, set);
    }
    return py::make_tuple(array_of<std::int64_t>(found, [](const ScoredRow& hit) { return std::int64_t{hit.row}; }),
                          array_of<float>(found, [](const ScoredRow& hit) { return hit.score; }));
}

py::array_t<float> score(const MappedWords& words, const std::vector<std::string>& terms, const IndexArray& rows) {
    const auto asked = copy_of(rows);
    std::vector<float> scores;
    {
        const py::gil_scoped_release release;
        scores = words.index().score(terms, asked);
    }
    return array_of<float>(scores, [](float score) { return score; });
}

py::array_t<std::int64_t> rows_with_all(const MappedWords& words, const std::vector<std::string>& terms) {
    std::vector<std::uint32_t> rows;
    {
        const py::gil_scoped_release release;
        rows = words.index().rows_with_all(terms);
    }
    return array_of<std::int64_t>(rows, [](std::uint32_t row) { return std::int64_t{row}; });
}

void add(PostingsWriter& writer, const std::vector<py::str>& texts) {
    std::vector<std::string_view> views;
    views.reserve(texts.size());
    for (const auto& text : texts) {
        Py_ssize_t size = 0;
        const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
        if (data == nullptr) throw py::error_already_set();
        views.emplace_back(data, static_cast<std::size_t>(size));
    }
    const py::gil_scoped_release release;
    for (const auto view : views) writer.add(view);
}

void add_terms(PostingsWriter& writer, const std::vector<std::vector<py::bytes>>& rows) {
    std::vector<std::vector<std::string_view>> views;
    views.reserve(rows.size());
    for (const auto& row : rows) views.emplace_back(row.begin(), row.end());
    const py::gil_scoped_release release;
    for (const auto& row : views) writer.add_terms(row);
}

std::uint64_t finish(PostingsWriter& writer, const std::filesystem::path& path, std::uint64_t size) {
    const py::gil_scoped_release release;
    OutputFile out(path.native(), size);
    writer.finish(out, check_signals);
    out.sync();
    const std::uint64_t end = out.size();
    out.close();
    return end - size;
}

std::uint64_t write_postings(const std::filesystem::path& path, std::uint64_t size, std::uint32_t rows,
                             const py::iterable& terms) {
    OutputFile out(path.native(), size);
    SortedPostingsWriter writer(out, rows);
    for (const auto item : terms) {
        const auto [term, having] = item.cast<std::pair<py::bytes, IndexArray>>();
        writer.add(static_cast<std::string_view>(term), span_of(having));
    }
    writer.finish();
    out.sync();
    const std::uint64_t end = out.size();
    out.close();
    return end - size;
}

}  // namespace

void register_words(py::module_& module) {
    py::class_<MappedWords>(module, "WordIndex", py::is_final(),
                            "Search by words in sections of postings, each with the length codes of its rows. Safe to "
                            "share between threads.")
        .def(py::init<const std::vector<std::pair<py::buffer, py::buffer>>&>(), py::arg("segments"))
        .def(
            "check", [](const MappedWords& words) { words.index().check(); }, py::call_guard<py::gil_scoped_release>(),
            "Go through all postings.")
        .def(
            "frequency",
            [](const MappedWords& words, const std::string& term) { return words.index().frequency(term); },
            py::arg("term"), "In how many rows a term is.")
        .def(
            "search", &search, py::arg("terms"), py::arg("k"), py::arg("allowed").noconvert().none(true) = py::none(),
            "Rows int64[m] and scores float32[m] of the best k with any of the terms, best first. `allowed`: a bit for "
            "each row, uint64[ceil(rows / 64)], the lowest first.")
        .def("score", &score, py::arg("terms"), py::arg("rows").noconvert(), "float32[n]: the scores of int64 rows.")
        .def("rows_with_all", &rows_with_all, py::arg("terms"), "int64[m], ascending: the rows with all of the terms.");
    py::class_<PostingsWriter>(module, "PostingsWriter", py::is_final(), "Makes a section of postings of texts.")
        .def(py::init<std::size_t, std::size_t>(), py::kw_only(), py::arg("most_postings") = std::size_t{6} << 20,
             py::arg("most_term_bytes") = std::size_t{16} << 20)
        .def("add", &add, py::arg("texts"), "Add the words of normalised texts, a row each.")
        .def("add_terms", &add_terms, py::arg("rows"), "Add rows with these terms each, of any bytes.")
        .def_property_readonly("rows", &PostingsWriter::rows)
        .def_property_readonly("is_full", &PostingsWriter::is_full, "Whether it should spill before more is added.")
        .def("spill", &PostingsWriter::spill, py::arg("descriptor"), py::call_guard<py::gil_scoped_release>(),
             "Write what is in memory to an open temporary file, each time the same.")
        .def("finish", &finish, py::arg("path"), py::arg("size"),
             "Append the section behind the first `size` bytes of a file; its bytes.");
    module.def("write_postings", &write_postings, py::arg("path"), py::arg("size"), py::arg("rows"), py::arg("terms"),
               "Append a section of postings behind the first `size` bytes of a file: pairs of terms, in the order of "
               "their bytes, and their rows int64[m]; its bytes.");
}

}  // namespace memvid::bindings
