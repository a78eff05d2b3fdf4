#include "memvid/frame_reader.hpp"

#include <algorithm>
#include <string>

#include "memvid/error.hpp"
#include "memvid/qr_code.hpp"

namespace memvid {

namespace {

// A frame is one code; more than this is not ours, and not worth the memory.
constexpr std::uint32_t max_frame_bytes = 8 << 20;
constexpr int max_side = 512;  // the largest symbol has 177 modules, and one is a pixel
// The full detector wants several pixels a module, where that does not make a huge picture.
constexpr int detector_scale = 4;
constexpr int detector_side = 2048;

struct Workspace {
    Bytes file;
    PngDecoder png;
};

Workspace& workspace() {
    thread_local Workspace space;
    return space;
}

// Where the one symbol is: the box around everything black. Nothing when that box is no symbol's.
std::optional<SymbolGeometry> locate_symbol(const BitImageView& image) {
    int left = image.width, right = -1, top = image.height, bottom = -1;
    for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
            if (image.white(x, y)) continue;
            left = std::min(left, x);
            right = std::max(right, x);
            top = std::min(top, y);
            bottom = y;
        }
    }
    const int side = right - left + 1;
    if (side != bottom - top + 1 || side < 21 || (side - 17) % 4 != 0) return std::nullopt;
    const int version = (side - 17) / 4;
    if (version > max_symbol_version) return std::nullopt;
    return SymbolGeometry{version, left, top};
}

std::optional<Bytes> read_grey(const BitImageView& image, int scale, Detection detection,
                               std::int64_t* work = nullptr) {
    const Bytes grey = to_grey(image, scale);
    return read_symbol(
        {grey.data(), image.width * scale, image.height * scale, static_cast<std::size_t>(image.width * scale)},
        detection, work);
}

}  // namespace

FrameReader::FrameReader(const std::string& path, std::size_t threads, std::optional<std::uint64_t> movie_offset)
    : file_(path),
      movie_(movie_offset ? read_movie(file_, *movie_offset) : read_movie(file_)),
      pool_(threads == 0 ? available_cores() : threads),
      budget_(DetectionBudget::work_for(file_.size())),
      vain_(movie_.samples.size()) {}

FrameReader::~FrameReader() { delete symbol_.load(); }

void FrameReader::place(std::vector<std::int64_t> places) {
    const auto samples = static_cast<std::int64_t>(movie_.samples.size());
    for (const auto place : places)
        if (place < -1 || place >= samples)
            throw Error(ErrorCode::config, "sample " + std::to_string(place) + " is not one of the " +
                                               std::to_string(samples) + " samples of the video");
    vain_ = VainFrames(places.size());
    places_ = std::move(places);
    expect_nothing();
}

std::optional<Sample> FrameReader::sample_of(std::size_t index) const {
    if (!places_) return movie_.samples.at(index);
    const auto place = places_->at(index);
    return place < 0 ? std::nullopt : std::optional(movie_.samples[static_cast<std::size_t>(place)]);
}

void FrameReader::require_png() const {
    if (movie_.codec != "png")
        throw Error(ErrorCode::unsupported,
                    file_.path() + " holds frames of codec '" + movie_.codec + "', which this release does not read");
    if (movie_.width < 1 || movie_.height < 1 || movie_.width > max_side || movie_.height > max_side)
        throw Error(ErrorCode::format, file_.path() + " has frames of an impossible size");
}

std::optional<Bytes> FrameReader::read_own_bits(const BitImageView& image,
                                                std::optional<std::uint32_t> expected) const {
    const SymbolReader* symbol = symbol_.load(std::memory_order_acquire);
    std::unique_ptr<const SymbolReader> candidate;
    if (symbol == nullptr) {
        const auto geometry = locate_symbol(image);
        if (!geometry) return std::nullopt;
        candidate = std::make_unique<const SymbolReader>(*geometry, image.stride);
        symbol = candidate.get();
    }
    auto payload = symbol->read(image);
    if (!payload || verify_payload(*payload, expected) != Verdict::verified) return std::nullopt;
    const SymbolReader* none = nullptr;
    if (candidate && symbol_.compare_exchange_strong(none, candidate.get(), std::memory_order_acq_rel))
        static_cast<void>(candidate.release());
    return payload;
}

FrameResult FrameReader::decode(const BitImageView& image, std::size_t index, Decoder decoder) const {
    const auto checksum = expected(index);
    if (decoder == Decoder::automatic) {
        if (auto payload = read_own_bits(image, checksum)) {
            ++tally_.fast;
            return {FrameStatus::ok, std::move(*payload)};
        }
    }
    FrameResult result{FrameStatus::no_symbol, {}};
    const auto accept = [&](std::optional<Bytes> payload, std::atomic<std::uint64_t>& counter) {
        if (!payload) return false;
        if (verify_payload(*payload, checksum) == Verdict::wrong) {
            result.status = FrameStatus::wrong;
            return false;
        }
        ++counter;
        result = {FrameStatus::ok, std::move(*payload)};
        return true;
    };
    if (accept(read_grey(image, 1, Detection::pure), tally_.corrected)) return result;
    if (budget_.is_spent() || vain_.has(index)) return result;
    const int scale = std::clamp(detector_side / std::max(image.width, image.height), 1, detector_scale);
    std::int64_t work = 0;
    if (!accept(read_grey(image, scale, Detection::full, &work), tally_.detected)) {
        budget_.spend(work);
        vain_.add(index);
    }
    return result;
}

FrameResult FrameReader::read_frame(std::size_t index, Decoder decoder) const {
    const auto sample = sample_of(index);
    auto& space = workspace();
    FrameResult result;
    if (!sample) {
        result.status = FrameStatus::missing;
    } else if (sample->size > max_frame_bytes) {
        result.status = FrameStatus::not_a_picture;
    } else {
        space.file.resize(sample->size);
        const Reading reading = file_.try_read_at(sample->offset, space.file);
        if (!reading.whole) {
            result.status = reading.error != 0 ? FrameStatus::unreadable : FrameStatus::cut_off;
        } else if (const auto picture = space.png.decode(space.file, movie_.width, movie_.height)) {
            result = decode(picture->image, index, decoder);
        } else {
            result.status = FrameStatus::not_a_picture;
        }
    }
    ++tally_.frames;
    tally_.bytes += sample ? sample->size : 0;
    if (result.status != FrameStatus::ok) ++tally_.failed;
    return result;
}

void FrameReader::read_each(std::span<const std::size_t> frames, Decoder decoder, const Take& take,
                            const Poll& poll) const {
    require_png();
    pool_.parallel_for(
        frames.size(), [&](std::size_t i) { take(i, read_frame(frames[i], decoder)); }, poll);
}

Bytes FrameReader::read_pixels(std::size_t index) const {
    require_png();
    const auto sample = sample_of(index);
    auto& space = workspace();
    if (!sample || sample->size > max_frame_bytes) return {};
    space.file.resize(sample->size);
    if (!file_.try_read_at(sample->offset, space.file).whole) return {};
    const auto picture = space.png.decode(space.file, movie_.width, movie_.height);
    return picture ? to_grey(picture->image) : Bytes{};
}

}  // namespace memvid
