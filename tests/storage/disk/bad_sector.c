/* Has the disk refuse some bytes of one file: reading them fails with EIO, touching them in a mapping is a SIGBUS.

   For LD_PRELOAD, so that every library's calls to libc come here first; set by ctypes, as often as wanted. A file is
   known by device and inode, as a sector is: one that takes its name is sound. tests/storage/disk/bad_sector.py knows
   the function. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(result, name, ...)                                                   \
    static result (*real)(__VA_ARGS__);                                           \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static dev_t device;
static ino_t inode;
static off_t first, last; /* bytes; none are bad where last < first */
static long refused;

static int is_bad(int file, off_t at, size_t bytes) {
    struct stat status;
    const int before = errno;
    if (last < first || at > last || bytes == 0 || at + (off_t)bytes <= first) return 0;
    if (fstat(file, &status) != 0) status.st_ino = 0;
    errno = before;
    return status.st_ino == inode && status.st_dev == device && at < status.st_size;
}

static int refuse(void) {
    ++refused;
    errno = EIO;
    return -1;
}

/* Bytes `from` to `to` of the file at `path` cannot be read from now on, and only those; no path ends it. Returns how
   many calls were refused before. */
long bad_sector_set(const char* path, long from, long to) {
    struct stat status;
    const long before = refused;
    refused = 0;
    first = 0;
    last = -1;
    if (path != NULL && stat(path, &status) == 0) {
        device = status.st_dev;
        inode = status.st_ino;
        first = from;
        last = to;
    }
    return before;
}

/* As a kernel does it: what lies in front of the bad bytes is read. */
static size_t good_part(off_t at, size_t bytes) {
    return at < first && at + (off_t)bytes > first ? (size_t)(first - at) : bytes;
}

ssize_t pread(int file, void* out, size_t bytes, off_t at) {
    REAL(ssize_t, "pread", int, void*, size_t, off_t);
    if (is_bad(file, at, bytes) && (bytes = good_part(at, bytes), is_bad(file, at, bytes))) return refuse();
    return real(file, out, bytes, at);
}

ssize_t pread64(int file, void* out, size_t bytes, off_t at) { return pread(file, out, bytes, at); }

ssize_t __pread_chk(int file, void* out, size_t bytes, off_t at, size_t room) {
    (void)room;
    return pread(file, out, bytes, at);
}

ssize_t __pread64_chk(int file, void* out, size_t bytes, off_t at, size_t room) {
    (void)room;
    return pread(file, out, bytes, at);
}

ssize_t read(int file, void* out, size_t bytes) {
    REAL(ssize_t, "read", int, void*, size_t);
    const int before = errno;
    const off_t at = last < first ? -1 : lseek(file, 0, SEEK_CUR);
    errno = before;
    if (at >= 0 && is_bad(file, at, bytes) && (bytes = good_part(at, bytes), is_bad(file, at, bytes))) return refuse();
    return real(file, out, bytes);
}

ssize_t __read_chk(int file, void* out, size_t bytes, size_t room) {
    (void)room;
    return read(file, out, bytes);
}

ssize_t readv(int file, const struct iovec* parts, int count) {
    REAL(ssize_t, "readv", int, const struct iovec*, int);
    const off_t at = last < first ? -1 : lseek(file, 0, SEEK_CUR);
    size_t bytes = 0;
    for (int i = 0; i < count; ++i) bytes += parts[i].iov_len;
    return at >= 0 && is_bad(file, at, bytes) ? refuse() : real(file, parts, count);
}

ssize_t preadv(int file, const struct iovec* parts, int count, off_t at) {
    REAL(ssize_t, "preadv", int, const struct iovec*, int, off_t);
    size_t bytes = 0;
    for (int i = 0; i < count; ++i) bytes += parts[i].iov_len;
    return is_bad(file, at, bytes) ? refuse() : real(file, parts, count, at);
}

ssize_t preadv64(int file, const struct iovec* parts, int count, off_t at) { return preadv(file, parts, count, at); }

static off_t place(int file, const off_t* given) { return given ? *given : lseek(file, 0, SEEK_CUR); }

ssize_t sendfile(int to, int file, off_t* at, size_t bytes) {
    REAL(ssize_t, "sendfile", int, int, off_t*, size_t);
    return is_bad(file, place(file, at), bytes) ? refuse() : real(to, file, at, bytes);
}

ssize_t sendfile64(int to, int file, off_t* at, size_t bytes) { return sendfile(to, file, at, bytes); }

ssize_t copy_file_range(int file, off_t* at, int to, off_t* to_at, size_t bytes, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off_t*, int, off_t*, size_t, unsigned);
    return is_bad(file, place(file, at), bytes) ? refuse() : real(file, at, to, to_at, bytes, flags);
}

void* mmap(void* wanted, size_t bytes, int protection, int flags, int file, off_t at) {
    REAL(void*, "mmap", void*, size_t, int, int, int, off_t);
    void* mapped = real(wanted, bytes, protection, flags, file, at);
    if (mapped == MAP_FAILED || flags & MAP_ANONYMOUS || !is_bad(file, at, bytes)) return mapped;
    const int empty = memfd_create("bad sector", MFD_CLOEXEC); /* nothing is behind its end */
    for (off_t page = first & ~(off_t)4095; page <= last; page += 4096)
        if (page >= at && page < at + (off_t)bytes)
            real((char*)mapped + (page - at), 4096, PROT_READ, MAP_SHARED | MAP_FIXED, empty, 0);
    close(empty);
    return mapped;
}

void* mmap64(void* wanted, size_t bytes, int protection, int flags, int file, off_t at) {
    return mmap(wanted, bytes, protection, flags, file, at);
}
