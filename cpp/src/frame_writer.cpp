#include "memvid/frame_writer.hpp"

#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "memvid/error.hpp"
#include "memvid/page_checksum.hpp"

namespace memvid {

namespace {

const WriterOptions& checked(const WriterOptions& options) {
    symbol_capacity(options.symbol);  // throws for a version or mask that is none
    if (options.frames_per_second < 1 || options.frames_per_second > max_frames_per_second)
        throw Error(ErrorCode::config, std::to_string(options.frames_per_second) + " frames a second: 1 to " +
                                           std::to_string(max_frames_per_second) + " are possible");
    return options;
}

void check_frames(const std::string& path, const Movie& movie, int symbol_version) {
    const auto refuse = [&](const std::string& why) {
        throw Error(ErrorCode::unsupported,
                    path + " cannot be appended to: " + why + "; write it anew (memvid export --codec png)");
    };
    const FrameGeometry geometry = frame_geometry(symbol_version);
    if (movie.codec != "png" || movie.width != geometry.width || movie.height != geometry.height)
        refuse("its frames are " + movie.codec + " of " + std::to_string(movie.width) + " x " +
               std::to_string(movie.height) + " pixels, symbols of version " + std::to_string(symbol_version) +
               " take png of " + std::to_string(geometry.width) + " x " + std::to_string(geometry.height));
    if (movie.tracks != 1)
        refuse("it has " + std::to_string(movie.tracks) + " tracks, and the new movie would have one");
    if (movie.samples.empty()) refuse("it has no frame");
}

}  // namespace

FrameWriter::FrameWriter(const std::string& path, const WriterOptions& options)
    : options_(checked(options)),
      geometry_(frame_geometry(options.symbol.version)),
      file_(path),
      mp4_(file_, geometry_.width, geometry_.height, options.frames_per_second),
      pool_(options.threads == 0 ? available_cores() : options.threads) {}

FrameWriter::Place FrameWriter::find_place(const std::string& path, const WriterOptions& options) {
    checked(options);
    const InputFile file(path);
    Place place;
    place.point = find_append_point(file);
    place.movie = read_movie(file, place.point.movie);
    check_frames(path, place.movie, options.symbol.version);
    for (const auto& sample : place.movie.samples)
        if (sample.offset + sample.size > place.point.end)  // read_movie() has seen to it that they end in the file
            throw Error(ErrorCode::format, path +
                                               " cannot be appended to: frames of it lie in what was not committed; " +
                                               "repair it first (memvid repair)");
    return place;
}

std::unique_ptr<FrameWriter> FrameWriter::append_to(const std::string& path, const WriterOptions& options) {
    return std::unique_ptr<FrameWriter>(new FrameWriter(path, options, find_place(path, options)));
}

void FrameWriter::check_append(const std::string& path, const WriterOptions& options) { find_place(path, options); }

FrameWriter::FrameWriter(const std::string& path, const WriterOptions& options, const Place& place)
    : options_(options),
      geometry_(frame_geometry(options.symbol.version)),
      file_(path, place.point.end),
      mp4_(file_, place.movie, place.point.movie),
      pool_(options.threads == 0 ? available_cores() : options.threads),
      path_(path),
      mark_(place.point.end),
      old_movie_(place.point.movie),
      owner_process_(::getpid()) {}

// Not in a fork, where it is the parent's append, and not when its movie counts.
bool FrameWriter::may_cut() const {
    if (owner_process_ != ::getpid()) return false;
    if (!finished_) return true;
    std::array<std::uint8_t, 4> name{};
    try {
        InputFile(path_).read_at(old_movie_ + 4, name);
    } catch (const Error&) {  // the file is gone, and the append with it
        return false;
    }
    return load_be32(name.data()) == fourcc("moov");
}

FrameWriter::~FrameWriter() {
    if (mark_ == 0 || finished_) return;
    try {
        if (!may_cut()) return;
        file_.truncate(mark_);
    } catch (const Error&) {  // the next append cuts it off
    }
}

Bytes FrameWriter::draw(ByteView payload) const {
    thread_local PngEncoder encoder;
    SymbolOptions symbol = options_.symbol;
    symbol.utf8 = !is_page(payload);
    return encoder.encode(create_symbol(payload, symbol), geometry_);
}

void FrameWriter::write(std::span<const ByteView> payloads, const Poll& poll) {
    const std::lock_guard lock(mutex_);
    check_usable();
    std::vector<Bytes> frames(payloads.size());
    pool_.parallel_for(payloads.size(), [&](std::size_t i) { frames[i] = draw(payloads[i]); }, poll);
    broken_ = true;  // unless all that follows succeeds
    for (const auto& frame : frames) mp4_.append(frame);
    broken_ = false;
}

void FrameWriter::write_cover(ByteView pixels) {
    const std::lock_guard lock(mutex_);
    check_usable();
    if (mp4_.frames() != 0) throw Error(ErrorCode::config, "the cover is the first frame of a video");
    if (pixels.size() != static_cast<std::size_t>(geometry_.width) * static_cast<std::size_t>(geometry_.height))
        throw Error(ErrorCode::config, "the cover is not of the size of the frames");
    const Bytes frame = PngEncoder().encode(pixels, geometry_.width, geometry_.height);
    broken_ = true;
    mp4_.append(frame);
    mp4_.hold_first();
    broken_ = false;
}

void FrameWriter::finish(ByteView page_table) {
    const std::lock_guard lock(mutex_);
    check_usable();
    broken_ = true;
    movie_offset_ = mp4_.finish(page_table);
    file_.sync();
    if (mark_ == 0) file_.close();  // an append may yet be abandoned
    broken_ = false;
    finished_ = true;
}

void FrameWriter::abandon() {
    const std::lock_guard lock(mutex_);
    if (mark_ == 0) throw Error(ErrorCode::closed, "only an append can be abandoned");
    if (abandoned_ || !may_cut()) return;
    finished_ = abandoned_ = true;
    file_.truncate(mark_);
    file_.sync();
}

std::uint64_t FrameWriter::movie_offset() const {
    const std::lock_guard lock(mutex_);
    return movie_offset_;
}

void FrameWriter::check_usable() const {
    if (finished_) throw Error(ErrorCode::closed, "the video is finished: nothing can be added to it");
    if (broken_) throw Error(ErrorCode::output, "writing the video failed before: start it again");
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
