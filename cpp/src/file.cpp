#include "memvid/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t buffer_bytes = 1 << 20;

[[noreturn]] void fail(ErrorCode code, const char* doing, const std::string& path, int error) {
    throw Error(code, std::string("cannot ") + doing + " " + path + ": " + std::strerror(error), error);
}

// The system would take what is before a NUL for the name, and open another file.
const char* system_path(const std::string& path) {
    if (path.find('\0') != std::string::npos) throw Error(ErrorCode::config, "a path has a NUL character in it");
    return path.c_str();
}

void check_regular(ErrorCode code, const char* doing, const std::string& path, mode_t mode) {
    if (S_ISREG(mode)) return;
    const char* what = "a device";
    int error = EINVAL;
    if (S_ISFIFO(mode)) what = "a pipe";
    if (S_ISSOCK(mode)) what = "a socket";
    if (S_ISDIR(mode)) what = "a folder", error = EISDIR;
    if (S_ISLNK(mode)) what = "a symbolic link", error = ELOOP;
    throw Error(code, std::string("cannot ") + doing + " " + path + ": it is " + what + ", not a file", error);
}

// Opens a regular file. Anything else is refused before it is opened, for opening some devices does something, and
// after, for another may have taken its place; O_NONBLOCK keeps a pipe from being waited for in between.
int open_regular(ErrorCode code, const char* doing, const std::string& path, int flags, struct stat& status) {
    constexpr mode_t owner_only = 0600;
    const char* name = system_path(path);
    const bool follow = (flags & O_NOFOLLOW) == 0;
    if ((follow ? ::stat(name, &status) : ::lstat(name, &status)) == 0)
        check_regular(code, doing, path, status.st_mode);
    const int descriptor = ::open(name, flags | O_CLOEXEC | O_NONBLOCK, owner_only);
    if (descriptor < 0) {
        const bool missing = code == ErrorCode::io && (errno == ENOENT || errno == ENOTDIR);
        fail(missing ? ErrorCode::not_found : code, doing, path, errno);
    }
    try {
        if (::fstat(descriptor, &status) != 0) fail(code, doing, path, errno);
        check_regular(code, doing, path, status.st_mode);
    } catch (...) {
        ::close(descriptor);
        throw;
    }
    return descriptor;
}

// Where a process has closed its standard streams, the next file gets one of their numbers, and whatever a library
// prints goes into it. A file that is written never has such a number.
int open_output(const char* doing, const std::string& path, int flags) {
    constexpr int first_own = 3;
    struct stat status {};
    const int descriptor = open_regular(ErrorCode::output, doing, path, O_WRONLY | O_NOFOLLOW | flags, status);
    if (descriptor >= first_own) return descriptor;
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, first_own);
    const int error = errno;
    ::close(descriptor);
    if (moved < 0) fail(ErrorCode::output, doing, path, error);
    return moved;
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
    struct stat status {};
    descriptor_ = open_regular(ErrorCode::io, "read", path, O_RDONLY, status);
    size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

Reading InputFile::try_read_at(std::uint64_t offset, std::span<std::uint8_t> out) const noexcept {
    std::size_t done = 0;
    while (done < out.size()) {
        const ssize_t got =
            ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return {false, errno};
        if (got == 0) return {false, 0};
        done += static_cast<std::size_t>(got);
    }
    return {true, 0};
}

bool InputFile::read_at(std::uint64_t offset, std::span<std::uint8_t> out) const {
    const Reading reading = try_read_at(offset, out);
    if (reading.error != 0)
        throw Error(ErrorCode::io,
                    "cannot read " + std::to_string(out.size()) + " bytes at byte " + std::to_string(offset) + " of " +
                        path_ + ": " + std::strerror(reading.error) +
                        "; `memvid repair` brings back what the disk still gives",
                    reading.error);
    return reading.whole;
}

OutputFile::OutputFile(const std::string& path)
    : path_(path), descriptor_(open_output("create", path, O_CREAT | O_TRUNC)) {
    buffer_.reserve(buffer_bytes);
}

OutputFile::OutputFile(const std::string& path, std::uint64_t size)
    : path_(path), descriptor_(open_output("write", path, 0)), flushed_(size) {
    buffer_.reserve(buffer_bytes);
}

OutputFile::~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write_at(std::uint64_t offset, ByteView bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t put =
            ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail(ErrorCode::output, "write", path_, errno);
        done += static_cast<std::size_t>(put);
    }
}

void OutputFile::flush() {
    write_at(flushed_, buffer_);
    flushed_ += buffer_.size();
    buffer_.clear();
}

void OutputFile::append(ByteView bytes) {
    if (buffer_.size() + bytes.size() > buffer_bytes) flush();
    if (bytes.size() >= buffer_bytes) {
        write_at(flushed_, bytes);
        flushed_ += bytes.size();
        return;
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OutputFile::overwrite(std::uint64_t offset, ByteView bytes) {
    flush();
    write_at(offset, bytes);
}

void OutputFile::truncate(std::uint64_t size) {
    buffer_.clear();
    while (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0)
        if (errno != EINTR) fail(ErrorCode::output, "cut off", path_, errno);
    flushed_ = size;
}

void OutputFile::sync() {
    flush();
    if (::fsync(descriptor_) != 0) fail(ErrorCode::output, "sync", path_, errno);
}

void OutputFile::close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (descriptor >= 0 && ::close(descriptor) != 0) fail(ErrorCode::output, "close", path_, errno);
}

}  // namespace memvid
