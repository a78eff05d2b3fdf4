// Builds a file of vectors, with an HNSW graph or, of codes of one bit, without; on all cores. The same rows give the same
// file, on any number of cores and any processor.
//
// Nodes are inserted in batches. The points of a batch look for their neighbours in the graph as it is, and among those
// in front of them in the batch; only then are they linked to, each target by one thread. Where a batch ends follows
// from the number of nodes alone, so neither threads nor the way rows are handed over decide anything. A graph of codes
// is that of the vectors that they stand for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memvid/bytes.hpp"
#include "memvid/distinct_rows.hpp"
#include "memvid/graph_links.hpp"
#include "memvid/graph_walk.hpp"
#include "memvid/row_codes.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

struct GraphOptions {
    std::size_t dim = 0;
    Scalar scalar = Scalar::i8;
    std::size_t connectivity = 16;  // links of a node on each level above 0; on level 0 twice as many
    std::size_t expansion = 128;    // candidates for the links of a new node
    std::size_t threads = 0;        // 0: all cores this process may run on
    Instructions instructions = best_instructions();
};

// Rows that lie one behind the other in the order of adding have keys that rise by one.
struct KeyRun {
    std::size_t first_row;
    std::uint64_t first_key;
};

// Memory: 1.3 times the file to come at 384 dimensions. Not safe to share.
class GraphBuilder {
public:
    // Throws Error(config) for options out of range.
    explicit GraphBuilder(const GraphOptions& options);

    std::size_t rows() const { return rows_.rows(); }
    std::size_t nodes() const { return rows_.nodes(); }
    // Bytes of a row that `add` takes: of codes, those of the vector in i16.
    std::size_t row_bytes() const { return coder_ ? 2 * coder_->dim() : rows_.products().row_bytes(); }
    // Those of a packed code; 0 where there are no codes.
    std::size_t code_bytes() const { return coder_ ? coder_->row_bytes() : 0; }

    // Takes rows under the keys `first_key`, `first_key + 1`, ...; their vectors lie one behind the other. Inserts the
    // batches that are full. What `poll` throws leaves a builder that refuses all further work with Error(closed).
    void add(std::uint64_t first_key, ByteView vectors, const Poll& poll);

    // The same with codes, packed, as a file has them.
    void add_codes(std::uint64_t first_key, ByteView codes, const Poll& poll);

    // Inserts what is left, makes every node reachable, and writes the file (graph_file.hpp; code_file.hpp for codes).
    // Nothing can be added then.
    void save(const std::string& path, const Poll& poll);

private:
    // A link in the other direction than the one a point has chosen.
    struct Edge {
        std::uint32_t target;
        std::uint32_t level;
        Link source;
    };
    // Fills the code of a row and returns its factor.
    using Encode = std::function<float(std::size_t, std::span<std::int8_t>)>;
    using Task = std::function<void(std::size_t, GraphWalk&)>;

    bool is_linked() const { return scalar_ != Scalar::code1; }
    void begin(std::uint64_t first_key, std::size_t bytes, std::size_t row_bytes);
    bool add_row(const std::uint8_t* row, const Poll& poll);
    void add_coded(std::size_t count, const Encode& encode, const Poll& poll);
    void finish_links(const Poll& poll);
    void insert(std::size_t count, const Poll& poll);
    std::vector<Link> link_above(std::uint32_t first, std::uint32_t end, const Poll& poll);
    void link_back(std::uint32_t first, std::uint32_t end, const Poll& poll);
    void link_back_to(std::span<const Edge> edges, GraphWalk& walk);
    Link connect(std::uint32_t point, Link start, std::size_t level, std::span<const std::uint32_t> peers,
                 GraphWalk& walk);
    std::size_t link_missed(std::size_t stride, const Poll& poll);
    std::vector<Link> links_to_missed(std::uint32_t point, GraphWalk& walk) const;
    void in_parallel(std::size_t count, std::size_t portion, const Task& task, const Poll& poll);

    const Scalar scalar_;
    std::optional<RowCoder> coder_;  // rows are codes then, a component in a byte each
    DistinctRows rows_;
    std::vector<float> factors_;  // of nodes that are codes
    GraphLinks links_;
    std::size_t expansion_;
    std::uint32_t inserted_ = 0;
    bool usable_ = true;
    std::vector<KeyRun> keys_;
    std::vector<std::vector<Edge>> edges_;  // in parts, each for some of the targets
    ThreadPool pool_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<GraphWalk>> idle_walks_;
};

}  // namespace memvid
