# The decompressor of zstd, which opens the pages. What it reads does not depend on its version.
set(MEMVID_ZSTD_SOURCE_DIR "" CACHE PATH "Unpacked source of zstd")

if(MEMVID_ZSTD_SOURCE_DIR)
    set(memvid_zstd_source "${MEMVID_ZSTD_SOURCE_DIR}/lib")
else()
    memvid_fetch_sdist(zstd "${PROJECT_SOURCE_DIR}/cmake/sources/zstd.txt" "*.tar.gz" memvid_zstd_sdist)
    set(memvid_zstd_source "${memvid_zstd_sdist}/zstd/lib")
endif()
set(memvid_zstd zstd_decompress)
add_library(
    zstd_decompress STATIC EXCLUDE_FROM_ALL
    "${memvid_zstd_source}/common/debug.c"
    "${memvid_zstd_source}/common/entropy_common.c"
    "${memvid_zstd_source}/common/error_private.c"
    "${memvid_zstd_source}/common/fse_decompress.c"
    "${memvid_zstd_source}/common/xxhash.c"
    "${memvid_zstd_source}/common/zstd_common.c"
    "${memvid_zstd_source}/decompress/huf_decompress.c"
    "${memvid_zstd_source}/decompress/zstd_ddict.c"
    "${memvid_zstd_source}/decompress/zstd_decompress.c"
    "${memvid_zstd_source}/decompress/zstd_decompress_block.c"
)
target_include_directories(zstd_decompress SYSTEM PUBLIC "${memvid_zstd_source}")
target_compile_definitions(zstd_decompress PRIVATE ZSTD_DISABLE_ASM=1 ZSTD_LEGACY_SUPPORT=0 ZSTDLIB_VISIBLE=)
file(STRINGS "${memvid_zstd_source}/zstd.h" memvid_version_lines REGEX "define ZSTD_VERSION_(MAJOR|MINOR|RELEASE)")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*" "\\1." MEMVID_ZSTD_VERSION "${memvid_version_lines}")
string(REGEX REPLACE "\\.$" "" MEMVID_ZSTD_VERSION "${MEMVID_ZSTD_VERSION}")
