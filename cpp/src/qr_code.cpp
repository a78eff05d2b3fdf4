#include "memvid/qr_code.hpp"

#include <ZXing/CreateBarcode.h>
#include <ZXing/ReadBarcode.h>

#include <stdexcept>
#include <string>

#include "memvid/error.hpp"
#include "memvid/finder_patterns.hpp"

namespace memvid {

namespace {

constexpr char level_letters[] = "LMQH";

// A symbol of version 40 counts as up to nine; a page full of labels as some hundreds.
constexpr std::size_t most_finder_patterns = 2048;
constexpr std::int64_t work_a_pattern = 2048;  // pixels that take as long

// ECI designators: 26 is UTF-8, one byte; 899 is binary, two; both behind four bits of mode.
int eci_bits(Content content) { return content == Content::utf8 ? 12 : 20; }

std::string creator_options(const SymbolOptions& options) {
    std::string text = "version=" + std::to_string(options.version) +
                       ",ecLevel=" + level_letters[static_cast<int>(options.level)] +
                       (options.content == Content::utf8 ? ",eci=26" : ",eci=899");
    if (options.data_mask >= 0) text += ",dataMask=" + std::to_string(options.data_mask);
    return text;
}

void check(const SymbolOptions& options) {
    if (options.version < min_symbol_version || options.version > max_symbol_version)
        throw Error(ErrorCode::config, "symbol version " + std::to_string(options.version) + " is not one of 1 to 40");
    if (options.data_mask < -1 || options.data_mask > 7)
        throw Error(ErrorCode::config, "data mask " + std::to_string(options.data_mask) + " is not one of 0 to 7");
}

}  // namespace

int symbol_capacity(const SymbolOptions& options) {
    check(options);
    return byte_capacity(options.version, options.level, eci_bits(options.content));
}

Symbol create_symbol(ByteView payload, const SymbolOptions& options) {
    const int capacity = symbol_capacity(options);
    if (payload.empty()) throw Error(ErrorCode::config, "a QR code of no bytes cannot be created");
    if (payload.size() > static_cast<std::size_t>(capacity))
        throw Error(ErrorCode::too_large,
                    std::to_string(payload.size()) + " bytes do not fit into a symbol of version " +
                        std::to_string(options.version) + ", which takes " + std::to_string(capacity));
    const ZXing::CreatorOptions creator(ZXing::BarcodeFormat::QRCode, creator_options(options));
    try {
        const auto barcode = ZXing::CreateBarcodeFromBytes(payload.data(), static_cast<int>(payload.size()), creator);
        const auto view = barcode.symbol();
        const int side = 4 * options.version + 17;
        if (view.width() != side || view.height() != side)
            throw Error(ErrorCode::config, "the QR writer made a symbol of another version than it was asked for");
        Symbol symbol{side, Bytes(static_cast<std::size_t>(side * side))};
        for (int y = 0; y < side; ++y)
            for (int x = 0; x < side; ++x)
                symbol.modules[static_cast<std::size_t>(y * side + x)] = *view.data(x, y) == 0 ? 1 : 0;
        return symbol;
    } catch (const std::invalid_argument& error) {
        throw Error(ErrorCode::config, std::string("the QR code cannot be created: ") + error.what());
    }
}

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
