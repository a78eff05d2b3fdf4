// zstd frames to bodies, with the memory's dictionary.
#pragma once

#include <memory>
#include <optional>

#include "memvid/bytes.hpp"

struct ZSTD_DDict_s;

namespace memvid {

// Most bytes of a body: what a crafted frame may make a reader allocate.
constexpr std::size_t max_body_bytes = 64 << 20;

// Safe to share: each thread has a zstd context of its own.
class Decompressor {
public:
    // `dictionary` is copied. Throws Error(format) when it is not a zstd dictionary.
    explicit Decompressor(std::optional<ByteView> dictionary);
    ~Decompressor();

    // The size that the zstd frame in `stored` states; nothing when it states none, or one above max_body_bytes.
    static std::optional<std::size_t> stated_size(ByteView stored);

    // The body in `stored`, which must be exactly one zstd frame that states its size; nothing when it is not, when it
    // is larger than max_body_bytes, or when it needs a dictionary that the memory does not have.
    std::optional<Bytes> decompress(ByteView stored, bool use_dictionary) const;

private:
    std::unique_ptr<ZSTD_DDict_s, std::size_t (*)(ZSTD_DDict_s*)> dictionary_;
};

}  // namespace memvid
