#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common.hpp"
#include "memvid/field_search.hpp"

namespace memvid::bindings {

namespace {

// The fields of rows and the buffer they lie in, which stays exported as long.
class MappedFields {
public:
    explicit MappedFields(const py::buffer& section)
        : section_(section.request()),
          fields_({static_cast<const std::uint8_t*>(section_.ptr),
                   static_cast<std::size_t>(section_.size * section_.itemsize)}) {}

    const Postings& fields() const { return fields_; }

private:
    py::buffer_info section_;
    Postings fields_;
};

py::array_t<std::uint64_t> rows_of(const MappedFields& mapped, const std::vector<std::string>& terms,
                                   const std::vector<std::pair<std::string, std::string>>& ranges, std::size_t skip,
                                   const std::string& needle) {
    std::vector<std::uint64_t> bits;
    {
        const py::gil_scoped_release release;
        bits = rows_with_any(mapped.fields(), {terms, ranges, skip, needle}, check_signals);
    }
    py::array_t<std::uint64_t> result(static_cast<py::ssize_t>(bits.size()));
    std::copy(bits.begin(), bits.end(), result.mutable_data());
    return result;
}

std::vector<py::bytes> terms_of(const MappedFields& mapped, const std::string& first, const std::string& last,
                                std::size_t most) {
    std::vector<std::string> terms;
    {
        const py::gil_scoped_release release;
        terms = terms_between(mapped.fields(), first, last, most);
    }
    return {terms.begin(), terms.end()};
}

// Some terms at a time, so that the GIL is mostly free.
void sums_of(const MappedFields& mapped, const py::array_t<std::uint64_t, py::array::c_style>& numbers,
             const py::function& take) {
    constexpr std::size_t batch = 1024;
    const auto values = copy_of(numbers);
    std::vector<std::pair<std::string, std::uint64_t>> sums;
    const auto hand_over = [&] {
        const py::gil_scoped_acquire acquire;
        for (const auto& [term, sum] : sums) take(py::bytes(term), sum);
        sums.clear();
    };
    const py::gil_scoped_release release;
    sum_rows(mapped.fields(), values, [&](std::string_view term, std::uint64_t sum) {
        sums.emplace_back(term, sum);
        if (sums.size() == batch) hand_over();
    });
    hand_over();
}

}  // namespace

void register_fields(py::module_& module) {
    py::class_<MappedFields>(module, "FieldIndex", py::is_final(),
                             "Search for rows by values of fields, in a section of postings whose terms these are. "
                             "Safe to share between threads.")
        .def(py::init<const py::buffer&>(), py::arg("section"))
        .def_property_readonly("rows", [](const MappedFields& mapped) { return mapped.fields().rows(); })
        .def(
            "check", [](const MappedFields& mapped) { mapped.fields().check(); },
            py::call_guard<py::gil_scoped_release>(), "Go through all postings.")
        .def("rows_with_any", &rows_of, py::arg("terms"), py::arg("ranges"), py::arg("skip"), py::arg("needle"),
             "uint64[ceil(rows / 64)]: the rows with any of the terms, or with any between the two of a range which has "
             "`needle` in it behind its first `skip` bytes; the lowest bit first.")
        .def("sum_rows", &sums_of, py::arg("numbers").noconvert(), py::arg("take"),
             "Calls `take` with each term and the sum, modulo 2 ** 64, of the numbers uint64[rows] of its rows.")
        .def("terms_between", &terms_of, py::arg("first"), py::arg("last"), py::arg("most"),
             "Up to `most` terms from `first` up to and without `last`.");
}

}  // namespace memvid::bindings
