// The squares in the corners of QR codes, counted before anything is done with them.
#pragma once

#include <cstddef>

#include "memvid/qr_code.hpp"

namespace memvid {

// How many finder patterns the picture shows, of either brightness, up to a few more than `most`. A pattern is counted up
// to three times, and what looks like one by chance, too. A detector's work grows with the square of their number. About
// as much work as looking at every pixel twice.
std::size_t count_finder_patterns(const GreyImageView& image, std::size_t most);

}  // namespace memvid
