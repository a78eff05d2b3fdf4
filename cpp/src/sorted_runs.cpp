#include "sorted_runs.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::size_t read_bytes = 1 << 16;  // of each run at a time

[[noreturn]] void fail(const char* doing, int error) {
    throw Error(ErrorCode::output,
                std::string("cannot ") + doing + " a temporary file of the index: " + std::strerror(error), error);
}

}  // namespace

ScratchFile::ScratchFile(int descriptor) : descriptor_(::dup(descriptor)) {
    if (descriptor_ < 0) fail("use", errno);
}

ScratchFile::~ScratchFile() { ::close(descriptor_); }

void ScratchFile::append(ByteView bytes) {
    while (!bytes.empty()) {
        const ssize_t put = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail("write", errno);
        size_ += static_cast<std::uint64_t>(put);
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
}

void ScratchFile::read(std::uint64_t at, std::span<std::uint8_t> out) const {
    while (!out.empty()) {
        const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("read", got < 0 ? errno : EIO);  // it ends too early where somebody cut it off
        at += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
}

RunReader::RunReader(Bytes run) : buffer_(std::move(run)) {}

RunReader::RunReader(const ScratchFile& file, std::uint64_t at, std::uint64_t bytes)
    : file_(&file), next_(at), left_(bytes) {}

bool RunReader::next_term() {
    if (at_ == buffer_.size() && left_ == 0) return false;
    term_.resize(byte());
    for (auto& c : term_) c = static_cast<char>(byte());
    count_ = varint();
    row_ = 0;
    return true;
}

std::uint32_t RunReader::varint() {
    std::uint32_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        const std::uint8_t each = byte();
        value |= static_cast<std::uint32_t>(each & 0x7f) << shift;
        if (each < 0x80) return value;
    }
}

void RunReader::refill() {
    buffer_.resize(std::min<std::uint64_t>(left_, read_bytes));
    if (buffer_.empty()) fail("read", EIO);
    file_->read(next_, buffer_);
    next_ += buffer_.size();
    left_ -= buffer_.size();
    at_ = 0;
}

void MergedRuns::add(std::unique_ptr<RunReader> run) {
    runs_.push_back(std::move(run));
    advance(runs_.size() - 1);
}

bool MergedRuns::is_behind(std::size_t a, std::size_t b) const {
    return runs_[a]->term() != runs_[b]->term() ? runs_[a]->term() > runs_[b]->term() : a > b;
}

void MergedRuns::advance(std::size_t run) {
    if (!runs_[run]->next_term()) return;
    heap_.push_back(run);
    std::push_heap(heap_.begin(), heap_.end(), [this](std::size_t a, std::size_t b) { return is_behind(a, b); });
}

bool MergedRuns::next_term() {
    for (const auto run : having_) advance(run);
    having_.clear();
    count_ = 0;
    if (heap_.empty()) return false;
    term_ = runs_[heap_.front()]->term();
    while (!heap_.empty() && runs_[heap_.front()]->term() == term_) {
        std::pop_heap(heap_.begin(), heap_.end(), [this](std::size_t a, std::size_t b) { return is_behind(a, b); });
        having_.push_back(heap_.back());
        count_ += runs_[heap_.back()]->count();
        heap_.pop_back();
    }
    return true;
}

}  // namespace memvid
