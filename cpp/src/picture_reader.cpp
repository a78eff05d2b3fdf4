#include "memvid/picture_reader.hpp"

#include <algorithm>
#include <utility>

#include "memvid/error.hpp"
#include "memvid/page_checksum.hpp"

namespace memvid {

namespace {

constexpr Sampling samplings[] = {Sampling::centre, Sampling::area, Sampling::sharpened};

std::optional<Bytes> read_corrected(const SampledSymbol& symbol) {
    const BitImageView bits = symbol.view();
    const Bytes grey = to_grey(bits);
    return read_symbol({grey.data(), bits.width, bits.height, static_cast<std::size_t>(bits.width)}, Detection::pure);
}

// A picture with the range that video has, 16 to 235, as a player shows it: of a damaged one, what lies beyond is noise.
GreyPicture stretched(const GreyPicture& picture) {
    GreyPicture result{picture.width, picture.height, Bytes(picture.pixels.size())};
    std::transform(picture.pixels.begin(), picture.pixels.end(), result.pixels.begin(), [](std::uint8_t value) {
        return static_cast<std::uint8_t>(std::clamp(((value - 16) * 255 + 109) / 219, 0, 255));
    });
    return result;
}

}  // namespace

PictureReader::PictureReader(Fetch fetch, std::size_t frames, std::size_t threads,
                             std::shared_ptr<DetectionBudget> budget, std::size_t batch)
    : fetch_(std::move(fetch)),
      frames_(frames),
      batch_(std::max<std::size_t>(batch, 1)),
      budget_(std::move(budget)),
      vain_(frames),
      pool_(threads == 0 ? available_cores() : threads) {}

PictureReader::~PictureReader() { delete place_.load(); }

std::unique_ptr<const PictureReader::Place> PictureReader::locate(const GreyPicture& picture) {
    const auto found = locate_grey_symbol(picture.view());
    if (!found) return nullptr;
    const int version = found->version;
    return std::make_unique<const Place>(
        Place{*found, picture.width, picture.height,
              SymbolReader(SampledSymbol::place(version), SampledSymbol::stride(version))});
}

FrameResult PictureReader::decode(const GreyPicture& picture, std::size_t frame, Decoder decoder) const {
    if (picture.pixels.empty()) return {FrameStatus::missing, {}};
    const auto checksum = expected(frame);
    FrameStatus failure = FrameStatus::no_symbol;
    FrameResult result;
    const auto accept = [&](std::optional<Bytes> payload, std::atomic<std::uint64_t>& counter) {
        if (!payload) return false;
        // A bare text of which no checksum is known yet is as good as the error correction that it passed.
        if (verify_payload(*payload, checksum) == Verdict::wrong) {
            failure = FrameStatus::wrong;
            return false;
        }
        ++counter;
        result.payload = std::move(*payload);
        return true;
    };
    const auto walk = [&](const Place& place) {
        auto payload = place.reader.read(SampledSymbol(picture.view(), place.geometry, Sampling::centre).view());
        return payload && verify_payload(*payload, checksum) == Verdict::verified &&
               accept(std::move(payload), tally_.fast);
    };

    const auto read_at = [&](const Place& place) {
        if (decoder == Decoder::automatic && walk(place)) return true;
        return std::any_of(std::begin(samplings), std::end(samplings), [&](Sampling sampling) {
            const SampledSymbol symbol(picture.view(), place.geometry, sampling);
            return accept(read_corrected(symbol), tally_.corrected);
        });
    };

    const Place* known = place_.load(std::memory_order_acquire);
    const bool same_size = known != nullptr && known->width == picture.width && known->height == picture.height;
    if (same_size && read_at(*known)) return result;
    if (auto found = locate(picture); found && read_at(*found)) {
        const Place* none = nullptr;
        if (place_.compare_exchange_strong(none, found.get(), std::memory_order_acq_rel))
            static_cast<void>(found.release());
        return result;
    }
    if (budget_->is_spent() || vain_.has(frame)) return {failure, {}};
    std::int64_t work = 0;
    if (accept(read_symbol(picture.view(), Detection::full, &work), tally_.detected)) return result;
    budget_->spend(std::exchange(work, 0));
    if (accept(read_symbol(stretched(picture).view(), Detection::full, &work), tally_.detected)) return result;
    budget_->spend(work);
    vain_.add(frame);
    return {failure, {}};
}

void PictureReader::read_each(std::span<const std::size_t> frames, Decoder decoder, const Take& take,
                              const Poll& poll) const {
    for (std::size_t start = 0; start < frames.size(); start += batch_) {
        const auto wanted = frames.subspan(start, std::min(batch_, frames.size() - start));
        const auto pictures = fetch_(wanted);
        if (pictures.size() != wanted.size())
            throw Error(ErrorCode::config, std::to_string(pictures.size()) + " pictures came for " +
                                               std::to_string(wanted.size()) + " frames");
        pool_.parallel_for(
            wanted.size(),
            [&](std::size_t i) {
                FrameResult result = decode(pictures[i], wanted[i], decoder);
                ++tally_.frames;
                tally_.bytes += pictures[i].pixels.size();
                if (result.status != FrameStatus::ok) ++tally_.failed;
                take(start + i, std::move(result));
            },
            poll);
    }
}

}  // namespace memvid
