# zxing-cpp, QR only, its reader: an installed package if asked for, a source folder if named, else its sdist.
option(MEMVID_SYSTEM_ZXING "Use an installed zxing-cpp 3" OFF)
set(MEMVID_ZXING_SOURCE_DIR "" CACHE PATH "Unpacked source of zxing-cpp 3 (the folder that holds core/)")

if(MEMVID_SYSTEM_ZXING)
    find_package(ZXing 3 REQUIRED)
    set(MEMVID_ZXING_VERSION "${ZXing_VERSION} (system)")
else()
    if(NOT MEMVID_ZXING_SOURCE_DIR)
        memvid_fetch_sdist(
            zxing-cpp "${PROJECT_SOURCE_DIR}/cmake/sources/zxing-cpp.txt" "*.tar.gz" MEMVID_ZXING_SOURCE_DIR_FETCHED
        )
    else()
        set(MEMVID_ZXING_SOURCE_DIR_FETCHED "${MEMVID_ZXING_SOURCE_DIR}")
    endif()
    set(ZXING_READERS ON)
    set(ZXING_WRITERS OFF)
    set(ZXING_C_API OFF)
    foreach(format 1D AZTEC DATAMATRIX MAXICODE PDF417)
        set(ZXING_ENABLE_${format} OFF)
    endforeach()
    set(BUILD_SHARED_LIBS OFF)
    add_subdirectory("${MEMVID_ZXING_SOURCE_DIR_FETCHED}/core" zxing EXCLUDE_FROM_ALL SYSTEM)
    # The installed package has its headers in ZXing/; so has this build, and the sources need not know.
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/include")
    file(
        CREATE_LINK "${MEMVID_ZXING_SOURCE_DIR_FETCHED}/core/src" "${CMAKE_BINARY_DIR}/include/ZXing"
        COPY_ON_ERROR SYMBOLIC
    )
    target_include_directories(ZXing SYSTEM INTERFACE "$<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/include>")
    file(STRINGS "${MEMVID_ZXING_SOURCE_DIR_FETCHED}/core/CMakeLists.txt" memvid_project_line REGEX "project *\\(ZXing")
    string(REGEX REPLACE ".*VERSION \"?([0-9.]+).*" "\\1" MEMVID_ZXING_VERSION "${memvid_project_line}")
endif()
