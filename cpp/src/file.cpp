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

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
    descriptor_ = ::open(system_path(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is refused, not waited for
    if (descriptor_ < 0) {
        const bool missing = errno == ENOENT || errno == ENOTDIR;
        fail(missing ? ErrorCode::not_found : ErrorCode::io, "open", path, errno);
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
        const int error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        ::close(descriptor_);
        fail(ErrorCode::io, "read", path, error);
    }
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

OutputFile::OutputFile(const std::string& path) : path_(path) {
    descriptor_ = ::open(system_path(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail(ErrorCode::output, "create", path, errno);
    buffer_.reserve(buffer_bytes);
}

OutputFile::OutputFile(const std::string& path, std::uint64_t size) : path_(path), flushed_(size) {
    descriptor_ = ::open(system_path(path), O_WRONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is refused, not waited for
    if (descriptor_ < 0) fail(ErrorCode::output, "write", path, errno);
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
