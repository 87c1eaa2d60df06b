/* Makes a disk full, or a folder read-only, for the process that has this preloaded.
 *
 * SHIM_DISK names a file of orders, read anew at each call; while it is not there, nothing is changed. Its lines:
 *
 *     full GLOB BYTES      so many bytes can still be written to files whose path matches; then ENOSPC
 *     readonly GLOB        nothing whose path matches can be made, opened for writing, written, renamed or removed: EROFS
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static long long written;

/* Returns the bytes that may still be written to a path, -1 for any number, -2 where nothing may be done with it. */
static long long room(const char *path) {
    const char *orders = getenv("SHIM_DISK");
    char text[4096], absolute[4096];
    if (!orders || !path) return -1;
    if (path[0] != '/' && getcwd(absolute, sizeof absolute / 2)) {
        strcat(absolute, "/");
        strncat(absolute, path, sizeof absolute / 2 - 2);
        path = absolute;
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, orders, O_RDONLY);
    if (fd < 0) return -1;
    long size = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (size <= 0) return -1;
    text[size] = 0;
    for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char glob[2048];
        long long bytes;
        if (sscanf(line, "full %2047s %lld", glob, &bytes) == 2 && !fnmatch(glob, path, 0))
            return bytes > written ? bytes - written : 0;
        if (sscanf(line, "readonly %2047s", glob) == 1 && !fnmatch(glob, path, 0)) return -2;
    }
    return -1;
}

static long long room_of(int fd) {
    char link[64], path[4096];
    if (!getenv("SHIM_DISK")) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0 || path[0] != '/') return -1;
    path[size] = 0;
    return room(path);
}

/* Returns how much of `size` may be written, or -1 with errno. */
static ssize_t allowed(int fd, size_t size) {
    long long left = room_of(fd);
    if (left == -1) return (ssize_t)size;
    if (left == -2) return errno = EROFS, -1;
    if (!left && size) return errno = ENOSPC, -1;
    if ((long long)size > left) size = (size_t)left;
    __sync_fetch_and_add(&written, (long long)size);
    return (ssize_t)size;
}

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t most = allowed(fd, size);
    return most < 0 ? -1 : REAL(write)(fd, data, (size_t)most);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    ssize_t most = allowed(fd, size);
    return most < 0 ? -1 : REAL(pwrite)(fd, data, (size_t)most, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    ssize_t most = allowed(fd, size);
    return most < 0 ? -1 : REAL(pwrite64)(fd, data, (size_t)most, at);
}

static int refused(const char *path) {
    if (room(path) != -2) return 0;
    errno = EROFS;
    return 1;
}

static int refused_to_open(const char *path, int flags) {
    return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) && refused(path);
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list args; va_start(args, last); mode = va_arg(args, mode_t); va_end(args); }

int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    return refused_to_open(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    return refused_to_open(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return refused_to_open(path, flags) ? -1 : REAL(openat)(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return refused_to_open(path, flags) ? -1 : REAL(openat64)(folder, path, flags, mode);
}

int mkdir(const char *path, mode_t mode) { return refused(path) ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return refused(path) ? -1 : REAL(unlink)(path); }
int rmdir(const char *path) { return refused(path) ? -1 : REAL(rmdir)(path); }
int rename(const char *from, const char *to) { return refused(from) || refused(to) ? -1 : REAL(rename)(from, to); }
int link(const char *from, const char *to) { return refused(to) ? -1 : REAL(link)(from, to); }
