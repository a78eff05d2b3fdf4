#include "memvid/decompressor.hpp"

#define ZSTD_STATIC_LINKING_ONLY  // ZSTD_decompressBegin
#include <zstd.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <string>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr std::uint8_t dictionary_magic[4] = {0x37, 0xa4, 0x30, 0xec};

ZSTD_DCtx* context() {
    thread_local const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> own(ZSTD_createDCtx(), ZSTD_freeDCtx);
    if (!own) throw std::bad_alloc();
    return own.get();
}

}  // namespace

Decompressor::Decompressor(std::optional<ByteView> dictionary) : dictionary_(nullptr, ZSTD_freeDDict) {
    if (!dictionary) return;
    // zstd takes anything without the magic for raw content, which none of our memories has.
    const bool whole = dictionary->size() >= 8 &&
                       std::equal(std::begin(dictionary_magic), std::end(dictionary_magic), dictionary->begin());
    if (whole) dictionary_.reset(ZSTD_createDDict(dictionary->data(), dictionary->size()));
    if (!dictionary_)
        throw Error(ErrorCode::format, "the memory's dictionary (" + std::to_string(dictionary->size()) +
                                           " bytes) is not a zstd dictionary; restore the video from a copy");
}

Decompressor::~Decompressor() = default;

std::optional<std::size_t> Decompressor::stated_size(ByteView stored) {
    const auto size = ZSTD_getFrameContentSize(stored.data(), stored.size());
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size > max_body_bytes)
        return std::nullopt;
    return static_cast<std::size_t>(size);
}

std::optional<Bytes> Decompressor::decompress(ByteView stored, bool use_dictionary) const {
    const auto size = stated_size(stored);
    if (!size || (use_dictionary && !dictionary_)) return std::nullopt;
    if (ZSTD_findFrameCompressedSize(stored.data(), stored.size()) != stored.size()) return std::nullopt;
    Bytes body(*size);
    // Makes zstd forget that this context has met the dictionary, and so fetch the matches in it ahead of time: between
    // two pages a search has driven a megabyte of dictionary out of the processor's cache.
    ZSTD_decompressBegin(context());
    const std::size_t written =
        use_dictionary ? ZSTD_decompress_usingDDict(context(), body.data(), body.size(), stored.data(), stored.size(),
                                                    dictionary_.get())
                       : ZSTD_decompressDCtx(context(), body.data(), body.size(), stored.data(), stored.size());
    if (ZSTD_isError(written) || written != *size) return std::nullopt;
    return body;
}

}  // namespace memvid
