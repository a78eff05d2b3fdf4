#include "memvid/frame_writer.hpp"

#include <vector>

#include "memvid/error.hpp"
#include "memvid/page_checksum.hpp"

namespace memvid {

FrameWriter::FrameWriter(const std::string& path, const WriterOptions& options)
    : options_(options),
      geometry_(frame_geometry(options.symbol.version)),
      file_(path),
      mp4_(file_, geometry_.width, geometry_.height, options.frames_per_second),
      pool_(options.threads == 0 ? available_cores() : options.threads) {}

Bytes FrameWriter::draw(ByteView payload) const {
    thread_local PngEncoder encoder;
    SymbolOptions symbol = options_.symbol;
    symbol.content = is_page(payload) ? Content::binary : Content::utf8;
    return encoder.encode(create_symbol(payload, symbol), geometry_);
}

void FrameWriter::write(std::span<const ByteView> payloads, const Poll& poll) {
    const std::lock_guard lock(mutex_);
    if (finished_) throw Error(ErrorCode::closed, "the video is finished: no frame can be added");
    std::vector<Bytes> frames(payloads.size());
    pool_.parallel_for(payloads.size(), [&](std::size_t i) { frames[i] = draw(payloads[i]); }, poll);
    for (const auto& frame : frames) mp4_.append(frame);
}

void FrameWriter::finish(ByteView page_table) {
    const std::lock_guard lock(mutex_);
    if (finished_) throw Error(ErrorCode::closed, "the video is finished already");
    mp4_.finish(page_table);
    file_.sync();
    file_.close();
    finished_ = true;
}

std::size_t FrameWriter::frames() const {
    const std::lock_guard lock(mutex_);
    return mp4_.frames();
}

std::uint64_t FrameWriter::bytes() const {
    const std::lock_guard lock(mutex_);
    return file_.size();
}

}  // namespace memvid
