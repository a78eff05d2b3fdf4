# libdeflate. The pinned source is the default even where the system has one: the bytes of a video depend on it, and the
# same text should make the same video everywhere.
option(MEMVID_SYSTEM_LIBDEFLATE "Use an installed libdeflate" OFF)
set(MEMVID_LIBDEFLATE_SOURCE_DIR "" CACHE PATH "Unpacked source of libdeflate")

if(MEMVID_SYSTEM_LIBDEFLATE)
    find_package(libdeflate REQUIRED)
    set(memvid_libdeflate libdeflate::libdeflate_static)
    set(MEMVID_LIBDEFLATE_VERSION "${libdeflate_VERSION} (system)")
else()
    if(MEMVID_LIBDEFLATE_SOURCE_DIR)
        set(memvid_libdeflate_source "${MEMVID_LIBDEFLATE_SOURCE_DIR}")
    else()
        memvid_fetch_sdist(
            libdeflate "${PROJECT_SOURCE_DIR}/cmake/sources/libdeflate.txt" "*.tar.gz" memvid_deflate_sdist
        )
        set(memvid_libdeflate_source "${memvid_deflate_sdist}/libdeflate")
    endif()
    set(LIBDEFLATE_BUILD_STATIC_LIB ON)
    set(LIBDEFLATE_BUILD_SHARED_LIB OFF)
    set(LIBDEFLATE_BUILD_GZIP OFF)
    set(LIBDEFLATE_GZIP_SUPPORT ON) # brings crc32
    add_subdirectory("${memvid_libdeflate_source}" libdeflate EXCLUDE_FROM_ALL SYSTEM)
    set(memvid_libdeflate libdeflate_static)
    file(STRINGS "${memvid_libdeflate_source}/libdeflate.h" memvid_version_line REGEX "LIBDEFLATE_VERSION_STRING")
    string(REGEX REPLACE ".*\"(.*)\".*" "\\1" MEMVID_LIBDEFLATE_VERSION "${memvid_version_line}")
endif()
