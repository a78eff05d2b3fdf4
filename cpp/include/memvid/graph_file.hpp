// The finishing of a graph: every node made reachable, and all of it written.
#pragma once

#include <cstdint>
#include <functional>

#include "memvid/distinct_rows.hpp"
#include "memvid/file.hpp"
#include "memvid/graph_links.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

// Adds links until every node can be reached from the entry on level 0. None is taken away, as long as there is room.
void make_reachable(const DistinctRows& rows, GraphLinks& links, std::size_t expansion, const Poll& poll);

// Writes a usearch file: format 2, with the copies behind it (the layout is in src/memvid/index/hnsw_file.py).
//
// `key` gives that of a row.
void write_graph(OutputFile& file, const DistinctRows& rows, const GraphLinks& links,
                 const std::function<std::uint64_t(std::size_t)>& key, const Poll& poll);

// Writes the rows that are copies of others (node_rows.hpp); nothing, if there are none.
void write_copies(OutputFile& file, const DistinctRows& rows);

}  // namespace memvid
