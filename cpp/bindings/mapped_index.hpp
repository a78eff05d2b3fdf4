// Parts of an index, each with the buffers it lies in, which stay exported as long.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "common.hpp"
#include "memvid/hnsw_graph.hpp"
#include "memvid/word_search.hpp"

namespace memvid::bindings {

inline ByteView view_of(const py::buffer_info& buffer) {
    return {static_cast<const std::uint8_t*>(buffer.ptr), static_cast<std::size_t>(buffer.size * buffer.itemsize)};
}

template <typename Out, typename In, typename Get>
py::array_t<Out> array_of(const std::vector<In>& values, const Get& get) {
    py::array_t<Out> result(static_cast<py::ssize_t>(values.size()));
    std::transform(values.begin(), values.end(), result.mutable_data(), get);
    return result;
}

class MappedGraph {
public:
    MappedGraph(const py::buffer& file, std::size_t count, std::size_t dim, const std::string& dtype,
                std::size_t threads)
        : file_(file.request()),
          graph_({static_cast<const std::uint8_t*>(file_.ptr), static_cast<std::size_t>(file_.size * file_.itemsize)},
                 count, dim, scalar_of(dtype), threads) {}

    const HnswGraph& graph() const { return graph_; }

private:
    py::buffer_info file_;
    HnswGraph graph_;
};

class MappedWords {
public:
    explicit MappedWords(const std::vector<std::pair<py::buffer, py::buffer>>& segments) {
        std::vector<WordSegment> views;
        for (const auto& [postings, lengths] : segments) {
            buffers_.push_back(postings.request());
            buffers_.push_back(lengths.request());
            views.push_back({view_of(buffers_.end()[-2]), view_of(buffers_.end()[-1])});
        }
        const py::gil_scoped_release release;
        index_ = std::make_unique<WordIndex>(views);
    }

    const WordIndex& index() const { return *index_; }

private:
    std::vector<py::buffer_info> buffers_;
    std::unique_ptr<WordIndex> index_;
};

}  // namespace memvid::bindings
