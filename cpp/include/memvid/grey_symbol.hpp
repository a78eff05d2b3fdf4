// The one symbol of a picture that came through a codec: where its modules are, and which of them are black. Pictures
// may be larger or smaller than they were drawn, paler, blurred and noisy; they stand upright and undistorted.
#pragma once

#include <cstdint>
#include <optional>

#include "memvid/bit_image.hpp"
#include "memvid/bytes.hpp"
#include "memvid/qr_code.hpp"

namespace memvid {

// Where the modules are, in pixels; as many a module as the picture's size makes it, which need not be whole.
struct GreyGeometry {
    int version = 0;
    double left = 0;
    double top = 0;
    double module_width = 0;
    double module_height = 0;
};

// Finds the symbol by the black in the picture, and tells its version by the timing patterns. Nothing when there is
// none. About as much work as looking at every pixel once.
std::optional<GreyGeometry> locate_grey_symbol(const GreyImageView& image);

// How a module's brightness is measured; each gets something that the others do not.
enum class Sampling : std::uint8_t {
    centre,     // at its centre: as good as any in a sharp picture
    area,       // mean of all of it: evens out a coarse quantiser's noise
    sharpened,  // at its centre, less what the neighbours bled into it: for pictures that were made smaller
};

// A picture of one pixel a module with a quiet zone of four, in `bits`, rows of whole bytes.
class SampledSymbol {
public:
    SampledSymbol(const GreyImageView& image, const GreyGeometry& geometry, Sampling sampling);

    BitImageView view() const;
    // Where the symbol is in the view, for every symbol of this version.
    static SymbolGeometry place(int version);
    static std::size_t stride(int version);

private:
    int side_;
    std::size_t stride_;
    Bytes bits_;
};

}  // namespace memvid
