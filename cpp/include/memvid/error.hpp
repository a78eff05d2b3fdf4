// Errors of the native core. The bindings map the code, never the message, to a Python exception.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace memvid {

enum class ErrorCode {
    config,       // an option is out of range
    not_found,    // no file at that path
    io,           // the operating system refused to read
    format,       // the file is not what it should be, or is cut off
    unsupported,  // the file is sound but of a kind this build cannot read
    output,       // the operating system refused to write
    too_large,    // a payload does not fit into one symbol
    closed,       // used after close
    limit,        // it would take more than the caller allows
};

class Error : public std::runtime_error {
public:
    Error(ErrorCode code, const std::string& message, int system_error = 0)
        : std::runtime_error(message), code_(code), system_error_(system_error) {}

    ErrorCode code() const noexcept { return code_; }
    // errno where the operating system refused, else 0.
    int system_error() const noexcept { return system_error_; }

private:
    ErrorCode code_;
    int system_error_;
};

}  // namespace memvid
