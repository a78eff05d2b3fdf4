// Products of a query with codes (row_codes.hpp).
#pragma once

#include "memvid/similarity.hpp"

namespace memvid {

// The product of the rounded query with a code, which is exact, times the code's factor; and 1.
PreparedQuery::Kernel code_kernel(Scalar scalar, Instructions instructions);
// The same for the query whose largest component is 1.
PreparedQuery::Kernel scaled_code_kernel(Scalar scalar, Instructions instructions);
// The product of the rotated query, not rounded, with a code, times the code's factor; and 1.
PreparedQuery::DoubleKernel code_double_kernel(Scalar scalar);

}  // namespace memvid
