/* Stops every system call that can change a file below one folder, counts it, and has it fail, end the process, or
   pass.

   It is the kernel that stops them, by a seccomp filter that sends SIGSYS to the calling thread: whatever makes the
   call, libc's own stdio and statically linked libraries included, none gets by. Linux on x86-64. Loaded into a process
   that has no threads yet, by ctypes; armed once, for good. The handler's own calls are told by the address they are
   made at. tests/storage/disk/trap.py knows the numbers and the record of the log. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define PATH_BYTES 1024
#define MAX_VECTORS 64
#define O_NAMELESS 020000000 /* O_TMPFILE: a file without a name */
#define PERMISSIONS 07777
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum action { PASS, KILL, TORN, FAIL, FULL, DEAD, SHORT };
enum kind { WRITE = 1, TRUNCATE, SYNC, CREATE, RENAME, UNLINK, MKDIR, OPEN, LINK, OTHER, MODE };

struct record {
    uint32_t size; /* of all of it */
    uint32_t number;
    uint32_t kind;
    uint32_t call;
    int64_t result;
    uint64_t inode;
    uint64_t offset; /* of a write; length after a truncation; mode of what is created, or gets another */
    uint32_t data;   /* bytes behind the names */
    uint16_t name, new_name;
};

struct call {
    long number;
    long args[6];
    enum kind kind;
    int file; /* descriptor it is about, or -1 */
    char name[PATH_BYTES], new_name[PATH_BYTES];
    uint64_t inode, offset;
    int existed;
};

static char root[PATH_BYTES];
static size_t root_length;
static int log_file = -1, with_data;
static enum action action;
static long fault_errno;
static unsigned fault_at, count;
static volatile int busy;

/* As syscall(2): number and six arguments; -errno for an error. The filter lets pass what is called from here. */
long fault_syscall(long number, ...);
extern char fault_syscall_end[];
__asm__(
    ".text\n.globl fault_syscall\n.type fault_syscall, @function\nfault_syscall:\n"
    "mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nmov %rcx, %rdx\nmov %r8, %r10\nmov %r9, %r8\nmov 8(%rsp), %r9\n"
    "syscall\n.globl fault_syscall_end\nfault_syscall_end:\nret\n.size fault_syscall, .-fault_syscall\n");

static long run(const struct call* call) {
    const long* a = call->args;
    return fault_syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A name of nothing is empty. */
static void read_link(const char* link, char* name) {
    const long got = fault_syscall(SYS_readlink, (long)link, (long)name, PATH_BYTES - 1L, 0L, 0L, 0L);
    name[got > 0 ? got : 0] = 0;
}

static void name_of_file(int file, char* name) {
    char link[32] = "/proc/self/fd/", digits[12];
    int at = 0, end = (int)strlen(link);
    if (file == AT_FDCWD) return read_link("/proc/self/cwd", name);
    name[0] = 0;
    if (file < 0) return;
    do digits[at++] = (char)('0' + file % 10);
    while ((file /= 10) > 0);
    while (at > 0) link[end++] = digits[--at];
    link[end] = 0;
    read_link(link, name);
}

static void name_at(int folder, const char* path, char* name) {
    size_t length = 0;
    name[0] = 0;
    if (path == NULL) return;
    if (path[0] != '/') {
        name_of_file(folder, name);
        length = strlen(name);
        if (length + 1 < PATH_BYTES) name[length++] = '/';
    }
    const size_t more = strlen(path);
    if (length + more < PATH_BYTES)
        memcpy(name + length, path, more + 1);
    else
        name[0] = 0;
}

static int is_ours(const char* name) {
    return strncmp(name, root, root_length) == 0 && (name[root_length] == '/' || name[root_length] == 0);
}

static void about_file(struct call* call, enum kind kind, int file) {
    call->kind = kind;
    call->file = file;
    name_of_file(file, call->name);
}

static void about_name(struct call* call, enum kind kind, int folder, long path) {
    call->kind = kind;
    name_at(folder, (const char*)path, call->name);
}

static void about_opening(struct call* call, int folder, long path, long flags) {
    about_name(call, OPEN, folder, path);
    if (flags & O_NAMELESS) call->kind = OTHER;
}

/* What the call is about. */
static void understand(struct call* call) {
    const long* a = call->args;
    call->file = -1;
    switch (call->number) {
        case SYS_write:
        case SYS_pwrite64:
        case SYS_writev:
        case SYS_pwritev:
        case SYS_pwritev2: about_file(call, WRITE, (int)a[0]); break;
        case SYS_ftruncate: about_file(call, TRUNCATE, (int)a[0]); break;
        case SYS_fsync:
        case SYS_fdatasync: about_file(call, SYNC, (int)a[0]); break;
        case SYS_sync_file_range:
        case SYS_fallocate: about_file(call, OTHER, (int)a[0]); break;
        case SYS_sendfile: about_file(call, OTHER, (int)a[0]); break;
        case SYS_copy_file_range:
        case SYS_splice: about_file(call, OTHER, (int)a[2]); break;
        case SYS_mmap: about_file(call, OTHER, (int)a[4]); break;
        case SYS_truncate: about_name(call, OTHER, AT_FDCWD, a[0]); break;
        case SYS_open: about_opening(call, AT_FDCWD, a[0], a[1]); break;
        case SYS_creat: about_name(call, OTHER, AT_FDCWD, a[0]); break;
        case SYS_openat: about_opening(call, (int)a[0], a[1], a[2]); break;
        case SYS_openat2: about_name(call, OTHER, (int)a[0], a[1]); break;
        case SYS_rename:
            about_name(call, RENAME, AT_FDCWD, a[0]);
            name_at(AT_FDCWD, (const char*)a[1], call->new_name);
            break;
        case SYS_renameat:
        case SYS_renameat2:
            about_name(call, RENAME, (int)a[0], a[1]);
            name_at((int)a[2], (const char*)a[3], call->new_name);
            break;
        case SYS_symlink: about_name(call, OTHER, AT_FDCWD, a[1]); break;
        case SYS_link:
            about_name(call, LINK, AT_FDCWD, a[0]);
            name_at(AT_FDCWD, (const char*)a[1], call->new_name);
            break;
        case SYS_linkat:
            about_name(call, LINK, (int)a[0], a[1]);
            name_at((int)a[2], (const char*)a[3], call->new_name);
            break;
        case SYS_symlinkat: about_name(call, OTHER, (int)a[1], a[2]); break;
        case SYS_unlink: about_name(call, UNLINK, AT_FDCWD, a[0]); break;
        case SYS_unlinkat: about_name(call, UNLINK, (int)a[0], a[1]); break;
        case SYS_rmdir: about_name(call, UNLINK, AT_FDCWD, a[0]); break;
        case SYS_mknod: about_name(call, OTHER, AT_FDCWD, a[0]); break;
        case SYS_mknodat: about_name(call, OTHER, (int)a[0], a[1]); break;
        case SYS_chmod: about_name(call, MODE, AT_FDCWD, a[0]); break;
        case SYS_fchmod: about_file(call, MODE, (int)a[0]); break;
        case SYS_fchmodat:
        case SYS_fchmodat2: about_name(call, MODE, (int)a[0], a[1]); break;
        case SYS_mkdir: about_name(call, MKDIR, AT_FDCWD, a[0]); break;
        case SYS_mkdirat: about_name(call, MKDIR, (int)a[0], a[1]); break;
        default: call->kind = OTHER;
    }
}

/* The inode it is about, and where it writes, as they are before the call. */
static void look(struct call* call) {
    struct stat status;
    const long* a = call->args;
    long failed;
    if (call->file >= 0)
        failed = fault_syscall(SYS_fstat, (long)call->file, (long)&status, 0L, 0L, 0L, 0L);
    else if (call->kind == LINK) /* /proc/self/fd/N is a link to the file that gets a name */
        failed = fault_syscall(SYS_stat, (long)call->name, (long)&status, 0L, 0L, 0L, 0L);
    else
        failed = fault_syscall(SYS_lstat, (long)call->name, (long)&status, 0L, 0L, 0L, 0L);
    call->existed = failed == 0;
    call->inode = failed ? 0 : status.st_ino;
    if (call->kind == TRUNCATE) call->offset = (uint64_t)a[1];
    if (call->kind == MODE)
        call->offset = (uint64_t)a[call->number == SYS_chmod || call->number == SYS_fchmod ? 1 : 2] & PERMISSIONS;
    if (call->kind != WRITE) return;
    if (call->number == SYS_pwrite64 || call->number == SYS_pwritev)
        call->offset = (uint64_t)a[3];
    else if (fault_syscall(SYS_fcntl, a[0], (long)F_GETFL, 0L, 0L, 0L, 0L) & O_APPEND)
        call->offset = failed ? 0 : (uint64_t)status.st_size;
    else
        call->offset = (uint64_t)fault_syscall(SYS_lseek, a[0], 0L, (long)SEEK_CUR, 0L, 0L, 0L);
}

static int is_vector(long number) { return number == SYS_writev || number == SYS_pwritev || number == SYS_pwritev2; }

static void log_raw(const void* data, size_t size) {
    fault_syscall(SYS_write, (long)log_file, (long)data, (long)size, 0L, 0L, 0L);
}

static void log_call(const struct call* call, enum kind kind, long result) {
    struct record record = {0};
    const long* a = call->args;
    if (log_file < 0) return;
    record.number = count;
    record.kind = kind;
    record.call = (uint32_t)call->number;
    record.result = result;
    record.inode = call->inode;
    record.offset = kind == TRUNCATE && call->kind == OPEN ? 0 : call->offset;
    record.name = (uint16_t)strlen(call->name);
    record.new_name = (uint16_t)strlen(call->new_name);
    record.data = with_data && kind == WRITE && result > 0 ? (uint32_t)result : 0;
    record.size = (uint32_t)sizeof record + record.name + record.new_name + record.data;
    log_raw(&record, sizeof record);
    log_raw(call->name, record.name);
    log_raw(call->new_name, record.new_name);
    if (record.data == 0) return;
    if (!is_vector(call->number)) return log_raw((const void*)a[1], record.data);
    uint32_t left = record.data;
    const struct iovec* vectors = (const struct iovec*)a[1];
    for (long i = 0; i < a[2] && left > 0; ++i) {
        const uint32_t part = vectors[i].iov_len < left ? (uint32_t)vectors[i].iov_len : left;
        log_raw(vectors[i].iov_base, part);
        left -= part;
    }
}

static int is_opening(long number) { return number == SYS_open || number == SYS_openat; }

static long perform(struct call* call) {
    const long result = run(call);
    enum kind kind = call->kind;
    if (is_opening(call->number) && result >= 0) {
        const long flags = call->args[call->number == SYS_openat ? 2 : 1];
        if (flags & O_NAMELESS || !call->existed) {
            struct stat status;
            kind = CREATE;
            if (fault_syscall(SYS_fstat, result, (long)&status, 0L, 0L, 0L, 0L) == 0) {
                call->inode = status.st_ino;
                call->offset = status.st_mode & PERMISSIONS;
            }
        } else if (flags & O_TRUNC) {
            kind = TRUNCATE;
        }
    }
    log_call(call, kind, result);
    return result;
}

/* Half of a write; -EAGAIN of one that has no half. */
static long perform_half(struct call* call) {
    struct iovec half[MAX_VECTORS];
    long* a = call->args;
    if (!is_vector(call->number)) {
        a[2] /= 2;
        return a[2] > 0 ? perform(call) : -EAGAIN;
    }
    size_t total = 0;
    long used = 0;
    if (a[2] > MAX_VECTORS) a[2] = MAX_VECTORS;
    memcpy(half, (const void*)a[1], (size_t)a[2] * sizeof half[0]);
    for (long i = 0; i < a[2]; ++i) total += half[i].iov_len;
    for (total /= 2; used < a[2] && total > 0; ++used) {
        if (half[used].iov_len > total) half[used].iov_len = total;
        total -= half[used].iov_len;
    }
    a[1] = (long)half;
    a[2] = used;
    return used > 0 ? perform(call) : -EAGAIN;
}

static void die(void) {
    for (;;) fault_syscall(SYS_kill, fault_syscall(SYS_getpid, 0L, 0L, 0L, 0L, 0L, 0L), (long)SIGKILL, 0L, 0L, 0L, 0L);
}

/* Whether a full disk refuses it. */
static int takes_room(const struct call* call) {
    if (call->kind == OPEN) return !call->existed;
    return call->kind == WRITE || call->kind == MKDIR || call->kind == OTHER || call->kind == CREATE ||
           call->kind == LINK;
}

static long refuse(struct call* call) {
    log_call(call, call->kind, -fault_errno);
    return -fault_errno;
}

static long decide(struct call* call) {
    const int here = count == fault_at, after = count > fault_at;
    switch (action) {
        case KILL:
            if (here) die();
            break;
        case TORN:
            if (here) {
                if (call->kind == WRITE)
                    perform_half(call);
                else
                    perform(call);
                die();
            }
            break;
        case FAIL:
            if (here) return refuse(call);
            break;
        case SHORT:
            if (here && call->kind == WRITE) {
                const long result = perform_half(call);
                return result == -EAGAIN ? refuse(call) : result;
            }
            /* fall through */
        case FULL:
            if ((here || after) && takes_room(call)) return refuse(call);
            break;
        case DEAD:
            if (here || after) return refuse(call);
            break;
        default: break;
    }
    return perform(call);
}

static void handle(int number, siginfo_t* info, void* context) {
    greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
    const int order[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
    struct call call;
    (void)number;
    call.number = info->si_syscall;
    call.name[0] = call.new_name[0] = 0;
    call.inode = call.offset = 0;
    for (int i = 0; i < 6; ++i) call.args[i] = (long)registers[order[i]];
    understand(&call);
    if (!is_ours(call.name) && !is_ours(call.new_name)) {
        registers[REG_RAX] = run(&call);
        return;
    }
    while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) fault_syscall(SYS_sched_yield, 0L, 0L, 0L, 0L, 0L, 0L);
    look(&call);
    ++count;
    registers[REG_RAX] = decide(&call);
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

static const int trapped[] = {
    SYS_write,           SYS_pwrite64,  SYS_writev, SYS_pwritev,   SYS_pwritev2,        SYS_ftruncate,
    SYS_truncate,        SYS_fallocate, SYS_fsync,  SYS_fdatasync, SYS_sync_file_range, SYS_sendfile,
    SYS_copy_file_range, SYS_splice,    SYS_creat,  SYS_openat2,   SYS_rename,          SYS_renameat,
    SYS_renameat2,       SYS_link,      SYS_linkat, SYS_symlink,   SYS_symlinkat,       SYS_unlink,
    SYS_unlinkat,        SYS_rmdir,     SYS_mkdir,  SYS_mkdirat,   SYS_mknod,           SYS_mknodat,
    SYS_chmod,           SYS_fchmod,    SYS_fchmodat, SYS_fchmodat2,
};

#define LOAD(field) \
    *next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field) \
    *next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4)
#define UNLESS(test, value, skip) \
    *next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (unsigned)(value), 0, skip)
#define SKIP_IF(test, value, skip) \
    *next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (unsigned)(value), skip, 0)
#define RETURN(value) *next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value)

static int install(void) {
    struct sock_filter filter[128], *next = filter;
    const uint64_t own = (uint64_t)fault_syscall_end;
    LOAD(arch);
    SKIP_IF(BPF_JEQ, AUDIT_ARCH_X86_64, 1);
    RETURN(SECCOMP_RET_KILL_PROCESS);
    LOAD(instruction_pointer);
    UNLESS(BPF_JEQ, own, 3);
    LOAD_HIGH(instruction_pointer);
    UNLESS(BPF_JEQ, own >> 32, 1);
    RETURN(SECCOMP_RET_ALLOW);
    LOAD(nr);
    for (size_t i = 0; i < COUNT(trapped); ++i) {
        UNLESS(BPF_JEQ, trapped[i], 1);
        RETURN(SECCOMP_RET_TRAP);
    }
    UNLESS(BPF_JEQ, SYS_io_uring_setup, 1); /* would write without a call of its own */
    RETURN(SECCOMP_RET_ERRNO | ENOSYS);
    for (int i = 0; i < 2; ++i) {
        UNLESS(BPF_JEQ, i == 0 ? SYS_open : SYS_openat, 4);
        if (i == 0)
            LOAD(args[1]);
        else
            LOAD(args[2]);
        UNLESS(BPF_JSET, O_CREAT | O_TRUNC | O_NAMELESS, 1);
        RETURN(SECCOMP_RET_TRAP);
        RETURN(SECCOMP_RET_ALLOW);
    }
    UNLESS(BPF_JEQ, SYS_mmap, 6); /* memory that writes itself into its file */
    LOAD(args[2]);
    UNLESS(BPF_JSET, PROT_WRITE, 4);
    LOAD(args[3]);
    UNLESS(BPF_JSET, MAP_SHARED, 2);
    SKIP_IF(BPF_JSET, MAP_ANONYMOUS, 1);
    RETURN(SECCOMP_RET_TRAP);
    RETURN(SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {(unsigned short)(next - filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

/* Begin. 0, or the errno of what this system does not allow. */
int fault_arm(const char* folder, int log, int data, int what, unsigned at, int error) {
    struct sigaction handler = {0};
    root_length = strlen(folder);
    if (root_length >= PATH_BYTES) return ENAMETOOLONG;
    memcpy(root, folder, root_length + 1);
    log_file = log;
    with_data = data;
    action = (enum action)what;
    fault_at = at;
    fault_errno = error;
    handler.sa_sigaction = handle;
    handler.sa_flags = SA_SIGINFO | SA_RESTART;
    if (sigaction(SIGSYS, &handler, NULL) != 0) return errno;
    return install();
}

unsigned fault_count(void) { return count; }
