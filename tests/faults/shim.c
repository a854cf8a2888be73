/* Storage trouble on demand, for tests: preloaded, it makes calls on paths under a prefix fail or hang.
 *
 *   LOANS_SHIM_PREFIX   the folder that has trouble
 *   LOANS_SHIM_CONTROL  a file outside of it, read at every call: "OPS ACTION PERCENT", empty: no trouble
 *                       OPS     all, or names out of open,read,write,fsync,close,rename,stat,readdir,mkdir,unlink,
 *                       ACTION  errno N (the call is not made, but a close is), lie N (it is made, then the error
 *                               told), or hang 0 (it waits until the control file no longer says so)
 *                       PERCENT of the calls that are hit
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char *prefix, *control;

__attribute__((constructor)) static void set_up(void) {
    prefix = getenv("LOANS_SHIM_PREFIX");
    control = getenv("LOANS_SHIM_CONTROL");
}

/* What the control file wants of a call: 0 nothing, 1 the error, 2 the error after the act, 3 a wait. */
static int wanted(const char *op, int *number) {
    char text[256], ops[200], action[16], framed[220], name[24];
    int percent = 100;
    long fd = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    long size = syscall(SYS_read, (int)fd, text, sizeof text - 1);
    syscall(SYS_close, (int)fd);
    if (size <= 0) return 0;
    text[size] = 0;
    if (sscanf(text, "%199s %15s %d %d", ops, action, number, &percent) < 3) return 0;
    snprintf(framed, sizeof framed, ",%s,", ops);
    snprintf(name, sizeof name, ",%s,", op);
    if (strcmp(ops, "all") && !strstr(framed, name)) return 0;
    static __thread unsigned seed;
    if (!seed) seed = (unsigned)syscall(SYS_gettid);
    if (rand_r(&seed) % 100 >= percent) return 0;
    return action[0] == 'e' ? 1 : action[0] == 'l' ? 2 : 3;
}

static int trouble(const char *op, const char *path, int *number) {
    if (!prefix || !control || !path || strncmp(path, prefix, strlen(prefix))) return 0;
    int what;
    while ((what = wanted(op, number)) == 3) {
        struct timespec pause = {0, 20 * 1000 * 1000};
        syscall(SYS_nanosleep, &pause, NULL);
    }
    return what;
}

static const char *path_of(int fd, char *buffer, size_t room) {
    char link[48];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, room - 1);
    if (size < 0) return NULL;
    buffer[size] = 0;
    return buffer;
}

static const char *path_at(int folder, const char *path, char *buffer, size_t room) {
    if (!path || path[0] == '/' || folder == AT_FDCWD) return path;
    if (!path_of(folder, buffer, room)) return NULL;
    size_t used = strlen(buffer);
    snprintf(buffer + used, room - used, "/%s", path);
    return buffer;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

/* The body of a call: ACT is the real call, told as TYPE. */
#define SUFFER(OP, PATH, TYPE, ACT)                                   \
    int number = 0, saved = errno, what = trouble(OP, PATH, &number); \
    if (what == 1) { errno = number; return -1; }                     \
    errno = saved;                                                    \
    TYPE result = ACT;                                                \
    if (what == 2 && result >= 0) { errno = number; return -1; }      \
    return result;

#define BUFFER char buffer[8192]
#define CALL(NAME, TYPE, ...) static TYPE (*real)(__VA_ARGS__); if (!real) real = (TYPE (*)(__VA_ARGS__))next(NAME)

static int given_mode(int flags, va_list rest) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, int) : 0;
}

#define OPEN(NAME)                                                      \
    int NAME(const char *path, int flags, ...) {                        \
        va_list rest; va_start(rest, flags);                            \
        int mode = given_mode(flags, rest); va_end(rest);               \
        CALL(#NAME, int, const char *, int, ...);                       \
        SUFFER("open", path, int, real(path, flags, mode)) }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                    \
    int NAME(int folder, const char *path, int flags, ...) {            \
        va_list rest; va_start(rest, flags);                            \
        int mode = given_mode(flags, rest); va_end(rest);               \
        BUFFER; CALL(#NAME, int, int, const char *, int, ...);          \
        SUFFER("open", path_at(folder, path, buffer, sizeof buffer), int, real(folder, path, flags, mode)) }
OPENAT(openat)
OPENAT(openat64)

#define STAT(NAME)                                                      \
    int NAME(const char *path, void *facts) {                           \
        CALL(#NAME, int, const char *, void *);                         \
        SUFFER("stat", path, int, real(path, facts)) }
STAT(stat)
STAT(stat64)
STAT(lstat)
STAT(lstat64)

#define STATAT(NAME)                                                    \
    int NAME(int folder, const char *path, void *facts, int flags) {    \
        BUFFER; CALL(#NAME, int, int, const char *, void *, int);       \
        SUFFER("stat", path_at(folder, path, buffer, sizeof buffer), int, real(folder, path, facts, flags)) }
STATAT(fstatat)
STATAT(fstatat64)

ssize_t read(int fd, void *to, size_t size) {
    BUFFER; CALL("read", ssize_t, int, void *, size_t);
    SUFFER("read", path_of(fd, buffer, sizeof buffer), ssize_t, real(fd, to, size)) }

ssize_t write(int fd, const void *from, size_t size) {
    BUFFER; CALL("write", ssize_t, int, const void *, size_t);
    SUFFER("write", path_of(fd, buffer, sizeof buffer), ssize_t, real(fd, from, size)) }

ssize_t copy_file_range(int in, off_t *at, int out, off_t *to, size_t size, unsigned flags) {
    BUFFER; CALL("copy_file_range", ssize_t, int, off_t *, int, off_t *, size_t, unsigned);
    SUFFER("write", path_of(out, buffer, sizeof buffer), ssize_t, real(in, at, out, to, size, flags)) }

#define SENDFILE(NAME)                                                  \
    ssize_t NAME(int out, int in, off_t *at, size_t size) {             \
        BUFFER; CALL(#NAME, ssize_t, int, int, off_t *, size_t);        \
        SUFFER("write", path_of(out, buffer, sizeof buffer), ssize_t, real(out, in, at, size)) }
SENDFILE(sendfile)
SENDFILE(sendfile64)

int fsync(int fd) {
    BUFFER; CALL("fsync", int, int);
    SUFFER("fsync", path_of(fd, buffer, sizeof buffer), int, real(fd)) }

int close(int fd) {
    /* Linux frees the number whatever close(2) answers. */
    BUFFER; CALL("close", int, int);
    int number = 0, saved = errno, what = trouble("close", path_of(fd, buffer, sizeof buffer), &number);
    errno = saved;
    int result = real(fd);
    if (what) { errno = number; return -1; }
    return result; }

int rename(const char *from, const char *to) {
    CALL("rename", int, const char *, const char *);
    SUFFER("rename", to, int, real(from, to)) }

int mkdir(const char *path, mode_t mode) {
    CALL("mkdir", int, const char *, mode_t);
    SUFFER("mkdir", path, int, real(path, mode)) }

int unlink(const char *path) {
    CALL("unlink", int, const char *);
    SUFFER("unlink", path, int, real(path)) }

int unlinkat(int folder, const char *path, int flags) {
    BUFFER; CALL("unlinkat", int, int, const char *, int);
    SUFFER("unlink", path_at(folder, path, buffer, sizeof buffer), int, real(folder, path, flags)) }

DIR *opendir(const char *path) {
    CALL("opendir", DIR *, const char *);
    int number = 0;
    if (trouble("readdir", path, &number)) { errno = number; return NULL; }
    return real(path); }

#define READDIR(NAME, TYPE)                                             \
    TYPE *NAME(DIR *folder) {                                           \
        BUFFER; CALL(#NAME, TYPE *, DIR *);                             \
        int number = 0, saved = errno;                                  \
        if (trouble("readdir", path_of(dirfd(folder), buffer, sizeof buffer), &number)) { errno = number; return NULL; } \
        errno = saved;                                                  \
        return real(folder); }
READDIR(readdir, struct dirent)
READDIR(readdir64, struct dirent64)
