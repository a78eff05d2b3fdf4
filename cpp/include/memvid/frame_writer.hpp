// Payloads into the frames of a new video, or behind those of a video there is.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "memvid/file.hpp"
#include "memvid/mp4.hpp"
#include "memvid/png_frame.hpp"
#include "memvid/symbol_writer.hpp"
#include "memvid/thread_pool.hpp"

namespace memvid {

constexpr int max_frames_per_second = 1000;

struct WriterOptions {
    SymbolOptions symbol;  // its content is chosen for each payload: pages are binary, bare texts UTF-8
    int frames_per_second = 30;
    std::size_t threads = 0;  // 0: the cores this process may run on
};

// Safe to share between threads; batches are written one after the other.
class FrameWriter {
public:
    // Throws Error(config) before it touches the file, Error(output) when the file cannot be made.
    FrameWriter(const std::string& path, const WriterOptions& options);
    // Behind the frames of a video there is, at its own rate; what an append left that never counted is cut off.
    // Nothing that counts is changed, and nothing written here counts, until commit_append(mark()). Throws
    // Error(unsupported) or Error(format), before anything is changed, when the video cannot be appended to.
    static std::unique_ptr<FrameWriter> append_to(const std::string& path, const WriterOptions& options);
    // Throws what append_to() would, and opens nothing to write.
    static void check_append(const std::string& path, const WriterOptions& options);
    // Cuts an append off that was not finished.
    ~FrameWriter();
    FrameWriter(const FrameWriter&) = delete;
    FrameWriter& operator=(const FrameWriter&) = delete;

    // Draws, packs and appends one frame for each payload, in order. When a payload or the poll is at fault, none is
    // appended; after an error of the output the file is of no use any more, and every further call throws.
    void write(std::span<const ByteView> payloads, const Poll& poll);
    // The first frame of a new video, as it is: rows of one byte a pixel, 0 black, else white. Shown for a second.
    void write_cover(ByteView pixels);
    // Writes the index of frames and the page table, and waits until the device has the file.
    void finish(ByteView page_table);
    // Cuts an append off, finished or not: the file is as it was before. Does nothing to one that was committed.
    void abandon();

    // Where an append begins; 0 in a new video.
    std::uint64_t mark() const { return mark_; }
    // Where the movie header is, once it is written.
    std::uint64_t movie_offset() const;
    std::size_t frames() const;
    std::uint64_t bytes() const;
    const FrameGeometry& geometry() const { return geometry_; }

private:
    struct Place {  // of an append
        Movie movie;
        AppendPoint point;
    };
    static Place find_place(const std::string& path, const WriterOptions& options);
    FrameWriter(const std::string& path, const WriterOptions& options, const Place& place);
    bool may_cut() const;
    Bytes draw(ByteView payload) const;
    void check_usable() const;

    WriterOptions options_;
    FrameGeometry geometry_;
    OutputFile file_;
    Mp4Writer mp4_;
    ThreadPool pool_;
    // Of an append.
    std::string path_;
    std::uint64_t mark_ = 0;
    std::uint64_t old_movie_ = 0;
    long owner_process_ = 0;
    std::uint64_t movie_offset_ = 0;
    mutable std::mutex mutex_;
    bool finished_ = false;
    bool broken_ = false;
    bool abandoned_ = false;
};

}  // namespace memvid
