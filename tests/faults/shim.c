/* A library to be preloaded: it counts the calls by which a process changes the files below one folder, and makes the
 * k-th of them fail, or kills the process there. Written for the tests of what a crash or a full disk leaves behind.
 *
 * stdio writes inside the C library, where nothing can be put in between. So files that are opened for writing by
 * fopen() get a stream whose write function is the one here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <pthread.h>
#include <unistd.h>

enum mode {
    COUNT,         /* nothing happens */
    KILL,          /* killed before the call */
    KILL_AFTER,    /* killed behind it; of a write only half was done */
    FAIL_ONCE,     /* the call fails, all others work */
    FAIL_ON,       /* the call and all that follow fail, except for those that free space */
    FAIL_SHORT,    /* a write does half of its work and says so, all that follow fail */
};

static char folder[PATH_MAX];
static size_t folder_length;
static atomic_long calls;
static long fatal = -1;
static int how;
static int error_number;
static FILE *record;
static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...)                                  \
    static type (*real)(__VA_ARGS__);                          \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, name);

/* From here on the k-th call is met, from 1; 0 for none. */
void fault_arm(const char *path, long k, int mode, int error) {
    folder_length = strlen(path);
    memcpy(folder, path, folder_length + 1);
    atomic_store(&calls, 0);
    fatal = k;
    how = mode;
    error_number = error;
}

long fault_calls(void) { return atomic_load(&calls); }

/* Keep a record of all calls, with what was written: what a test of power cuts replays. */
int fault_record(const char *path) {
    REAL(FILE *, "fopen", const char *, const char *)
    record = real(path, "wb");
    return record != NULL;
}

void fault_record_end(void) {
    if (record) fclose(record);
    record = NULL;
}

static int watched(const char *path) {
    char full[PATH_MAX];
    if (!folder_length || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(full, sizeof full / 2)) return 0;
        strncat(full, "/", sizeof full - strlen(full) - 1);
        strncat(full, path, sizeof full - strlen(full) - 1);
        path = full;
    }
    return strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || !path[folder_length]);
}

static const char *path_of(int descriptor, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) return NULL;
    out[length] = 0;
    return out;
}

static void note(const char *call, const char *path, const char *other, int64_t offset, const void *data, size_t size) {
    if (!record) return;
    pthread_mutex_lock(&record_lock);
    fprintf(record, "%s\n%s\n%s\n%lld %zu\n", call, path, other ? other : "", (long long)offset, size);
    if (size) fwrite(data, 1, size, record);
    fputc('\n', record);
    pthread_mutex_unlock(&record_lock);
}

/* What is to become of a call: 0 it goes on, 1 it fails, 2 it does half and then the process is killed, 3 it is done and
 * then the process is killed, 4 it does half. */
static int fate(int is_write, int frees_space) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (fatal <= 0 || number < fatal) return 0;
    if (number > fatal) return (how == FAIL_ON || how == FAIL_SHORT) && !frees_space;
    switch (how) {
        case KILL: return kill(getpid(), SIGKILL);
        case KILL_AFTER: return is_write ? 2 : 3;
        case FAIL_ONCE: return 1;
        case FAIL_ON: return !frees_space;
        case FAIL_SHORT: return is_write ? 4 : !frees_space;
        default: return 0;
    }
}

#define FAIL               \
    {                      \
        errno = error_number; \
        return -1;         \
    }
#define DIE kill(getpid(), SIGKILL)

static ssize_t put(int descriptor, const void *data, size_t size, off_t offset, int positioned, const char *path) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t)
    static ssize_t (*real_write)(int, const void *, size_t);
    if (!real_write) *(void **)&real_write = dlsym(RTLD_NEXT, "write");
    int f = fate(1, 0);
    if (f == 1) FAIL
    size_t length = f == 2 || f == 4 ? size / 2 : size;
    int64_t at = positioned ? offset : -1;
    if (record && !positioned) at = lseek(descriptor, 0, SEEK_CUR);
    note("write", path, NULL, at, data, length);
    ssize_t done = positioned ? real(descriptor, data, length, offset) : real_write(descriptor, data, length);
    if (f == 2) DIE;
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    char path[PATH_MAX];
    if (!folder_length || !watched(path_of(descriptor, path))) return real(descriptor, data, size);
    return put(descriptor, data, size, 0, 0, path);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t)
    char path[PATH_MAX];
    if (!folder_length || !watched(path_of(descriptor, path))) return real(descriptor, data, size, offset);
    return put(descriptor, data, size, offset, 1, path);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return pwrite64(descriptor, data, size, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    char path[PATH_MAX];
    if (!folder_length || !watched(path_of(descriptor, path))) return real(descriptor, parts, count);
    ssize_t total = 0;
    for (int i = 0; i < count; ++i) {
        if (!parts[i].iov_len) continue;
        ssize_t done = put(descriptor, parts[i].iov_base, parts[i].iov_len, 0, 0, path);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}

/* A call with one descriptor or path, that can only be done or not. */
#define SIMPLE(call, condition, path, other, offset, frees, result_expression) \
    if (!folder_length || !(condition)) return result_expression;              \
    int f = fate(0, frees);                                                    \
    if (f == 1) FAIL                                                           \
    int result = result_expression;                                            \
    if (result == 0) note(call, path, other, offset, NULL, 0);                 \
    if (f == 3) DIE;                                                           \
    return result;

int fsync(int descriptor) {
    REAL(int, "fsync", int)
    char path[PATH_MAX];
    SIMPLE("fsync", watched(path_of(descriptor, path)), path, NULL, 0, 0, real(descriptor))
}

int fdatasync(int descriptor) {
    REAL(int, "fdatasync", int)
    char path[PATH_MAX];
    SIMPLE("fsync", watched(path_of(descriptor, path)), path, NULL, 0, 0, real(descriptor))
}

int ftruncate64(int descriptor, off_t size) {
    REAL(int, "ftruncate64", int, off_t)
    char path[PATH_MAX];
    SIMPLE("truncate", watched(path_of(descriptor, path)), path, NULL, size, 1, real(descriptor, size))
}

int ftruncate(int descriptor, off_t size) { return ftruncate64(descriptor, size); }

int truncate64(const char *path, off_t size) {
    REAL(int, "truncate64", const char *, off_t)
    SIMPLE("truncate", watched(path), path, NULL, size, 1, real(path, size))
}

int truncate(const char *path, off_t size) { return truncate64(path, size); }

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *)
    SIMPLE("rename", watched(to), from, to, 0, 0, real(from, to))
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *)
    SIMPLE("rename", watched(to), from, to, 0, 0, real(from_folder, from, to_folder, to))
}

int link(const char *from, const char *to) {
    REAL(int, "link", const char *, const char *)
    SIMPLE("link", watched(to), from, to, 0, 0, real(from, to))
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *)
    SIMPLE("unlink", watched(path), path, NULL, 0, 1, real(path))
}

int unlinkat(int at, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int)
    SIMPLE("unlink", watched(path), path, NULL, 0, 1, real(at, path, flags))
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t)
    SIMPLE("mkdir", watched(path), path, NULL, 0, 0, real(path, mode))
}

int fallocate64(int descriptor, int flags, off_t offset, off_t size) {
    REAL(int, "fallocate64", int, int, off_t, off_t)
    char path[PATH_MAX];
    SIMPLE("fallocate", watched(path_of(descriptor, path)), path, NULL, offset, 0, real(descriptor, flags, offset, size))
}

static int open_watched(const char *path, int flags, mode_t mode, int (*real)(const char *, int, ...)) {
    int exists = access(path, F_OK) == 0;
    if (!folder_length || !watched(path) || !((flags & O_CREAT && !exists) || flags & O_TRUNC))
        return real(path, flags, mode);
    int f = fate(0, 0);
    if (f == 1) FAIL
    int descriptor = real(path, flags, mode);
    if (descriptor >= 0) note(exists ? "truncate" : "create", path, NULL, 0, NULL, 0);
    if (f == 3) DIE;
    return descriptor;
}

#define MODE_OF(flags)                         \
    mode_t mode = 0;                           \
    if (flags & (O_CREAT | __O_TMPFILE)) {     \
        va_list arguments;                     \
        va_start(arguments, flags);            \
        mode = va_arg(arguments, mode_t);      \
        va_end(arguments);                     \
    }

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...)
    MODE_OF(flags)
    return open_watched(path, flags, mode, real);
}

int open(const char *path, int flags, ...) {
    MODE_OF(flags)
    return open64(path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...)
    MODE_OF(flags)
    if (at == AT_FDCWD || path[0] == '/') return open64(path, flags, mode);
    return real(at, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    MODE_OF(flags)
    return openat64(at, path, flags, mode);
}

static ssize_t stream_read(void *cookie, char *data, size_t size) { return read((int)(intptr_t)cookie, data, size); }

static ssize_t stream_write(void *cookie, const char *data, size_t size) {
    ssize_t done = write((int)(intptr_t)cookie, data, size);
    return done < 0 ? 0 : done;
}

static int stream_seek(void *cookie, off_t *offset, int whence) {
    off_t at = lseek((int)(intptr_t)cookie, *offset, whence);
    if (at < 0) return -1;
    *offset = at;
    return 0;
}

static int stream_close(void *cookie) { return close((int)(intptr_t)cookie); }

FILE *fopen64(const char *path, const char *mode) {
    REAL(FILE *, "fopen64", const char *, const char *)
    if (!folder_length || !watched(path) || (mode[0] == 'r' && !strchr(mode, '+'))) return real(path, mode);
    int flags = strchr(mode, '+') ? O_RDWR : O_WRONLY;
    if (mode[0] == 'w') flags |= O_CREAT | O_TRUNC;
    if (mode[0] == 'a') flags |= O_CREAT | O_APPEND;
    int descriptor = open(path, flags, 0666);
    if (descriptor < 0) return NULL;
    cookie_io_functions_t functions = {stream_read, stream_write, stream_seek, stream_close};
    return fopencookie((void *)(intptr_t)descriptor, mode, functions);
}

FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }
