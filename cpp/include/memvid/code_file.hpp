// A file of codes: what an index has of vectors in the profiles "small", with links, and "tiny", without.
//
// Little endian; nothing is aligned but the codes, which begin at 128:
//
//     "MVCODES1" | u32 bits a component | u32 dimensions | u64 nodes | u64 connectivity, 0 without links
//     u64 top level | u64 entry node | u64 lists above level 0 | u64 links of level 0 | u64 links above | zeros
//     nodes x { f32 factor | code }            row_codes.hpp
//     links, unless there are none              node_links.hpp, packed
//     copies, if there are any                  node_rows.hpp
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "memvid/bytes.hpp"
#include "memvid/distinct_rows.hpp"
#include "memvid/file.hpp"
#include "memvid/graph_links.hpp"
#include "memvid/node_links.hpp"
#include "memvid/row_codes.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

struct CodeFile {
    std::size_t nodes = 0;
    ByteView codes;
    NodeLinks links;
    ByteView copies;
};

// `file` must outlive what is returned. Throws Error(format) where it is not a file of codes of these dimensions and
// bits, or its sizes and counts do not fit each other.
CodeFile read_codes(ByteView file, const RowCoder& coder, Scalar scalar);

// Rows are the codes, a component in a byte each; `factors` are those of the nodes. `links` may be missing.
void write_codes(OutputFile& file, const RowCoder& coder, Scalar scalar, const DistinctRows& rows,
                 std::span<const float> factors, const GraphLinks* links, const Poll& poll);

}  // namespace memvid
