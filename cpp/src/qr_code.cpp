#include "memvid/qr_code.hpp"

#include <ZXing/ReadBarcode.h>

#include "memvid/finder_patterns.hpp"

namespace memvid {

namespace {

// A symbol of version 40 counts as up to nine; a page full of labels as some hundreds.
constexpr std::size_t most_finder_patterns = 2048;
constexpr std::int64_t work_a_pattern = 2048;  // pixels that take as long

}  // namespace

std::optional<Bytes> read_symbol(const GreyImageView& image, Detection detection, std::int64_t* work) {
    const bool full = detection == Detection::full;
    const std::size_t patterns = full ? count_finder_patterns(image, most_finder_patterns) : 0;
    if (work != nullptr)
        *work = std::int64_t{image.width} * image.height + work_a_pattern * static_cast<std::int64_t>(patterns);
    if (patterns > most_finder_patterns) return std::nullopt;
    const auto options = ZXing::ReaderOptions()
                             .formats(ZXing::BarcodeFormat::QRCode)
                             .isPure(!full)
                             .tryHarder(full)
                             .tryRotate(full)
                             .tryInvert(full)
                             .tryDownscale(full)
                             .maxNumberOfSymbols(1)
                             .binarizer(full ? ZXing::Binarizer::LocalAverage : ZXing::Binarizer::FixedThreshold);
    const auto barcode = ZXing::ReadBarcode(
        {image.data, image.width, image.height, ZXing::ImageFormat::Lum, static_cast<int>(image.stride)}, options);
    if (!barcode.isValid()) return std::nullopt;
    return barcode.bytes();
}

}  // namespace memvid
