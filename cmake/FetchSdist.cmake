# Brings the source of a pinned release from the package index with pip, checks its hash, unpacks it.
#
# memvid_fetch_sdist(<name> <requirements file> <tarball glob> <out variable>)
#
# The requirements file has one line: `package==version --hash=sha256:...`. An sdist is the one thing that every machine
# with Python and pip can fetch, proxies and mirrors included, so no source hosting has to be reachable.
function(memvid_fetch_sdist name requirements pattern result)
    set(folder "${CMAKE_BINARY_DIR}/sdists/${name}")
    file(GLOB tarballs "${folder}/${pattern}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${requirements}")
    file(SHA256 "${requirements}" stamp)
    if(NOT tarballs OR NOT EXISTS "${folder}/${stamp}")
        file(REMOVE_RECURSE "${folder}")
        file(MAKE_DIRECTORY "${folder}")
        message(STATUS "Fetching the source of ${name}")
        execute_process(
            COMMAND
                "${Python_EXECUTABLE}" -m pip --disable-pip-version-check download --quiet --no-deps --no-binary :all:
                --no-build-isolation --require-hashes --requirement "${requirements}" --dest "${folder}"
            RESULT_VARIABLE status
            ERROR_VARIABLE errors
        )
        if(NOT status EQUAL 0)
            message(
                FATAL_ERROR
                "pip could not fetch the source of ${name}:\n${errors}\n"
                "Without a package index, unpack it yourself and name the folder (see docs/building.md)."
            )
        endif()
        file(GLOB tarballs "${folder}/${pattern}")
        file(ARCHIVE_EXTRACT INPUT ${tarballs} DESTINATION "${folder}/source")
        file(TOUCH "${folder}/${stamp}")
    endif()
    file(GLOB root LIST_DIRECTORIES true "${folder}/source/*")
    set(${result} "${root}" PARENT_SCOPE)
endfunction()
