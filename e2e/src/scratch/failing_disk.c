/* Simulates disk failures. Preloaded only into the ClickHouse front of a fault campaign.
 *
 * FAILING_DISK names a directory, FAILING_DISK_FLAG a file. While that file exists, its content selects how all
 * paths below the directory fail:
 *   "full"       statvfs reports no free space, which the engine checks before it writes
 *   "no-rename"  every rename fails with ENOSPC: files can be written, but an insert stops between its token and
 *                its data
 * Producing either failure on a real file system would require root.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns the first character of the flag file, or 0 if there is no such file. */
static char flag(void) {
    static const char *name;
    char first = 0;
    int fd;
    if (!name && !(name = getenv("FAILING_DISK_FLAG"))) return 0;
    fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &first, 1) != 1) first = 0;
    syscall(SYS_close, fd);
    return first;
}

static int is_under(const char *path) {
    static const char *root;
    if (!root && !(root = getenv("FAILING_DISK"))) return 0;
    return strncmp(path, root, strlen(root)) == 0;
}

static int rename_fails(const char *to) {
    int saved = errno, fails = is_under(to) && flag() == 'n';
    errno = fails ? ENOSPC : saved;
    return fails;
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static void hide_free_space(struct statvfs *space, int is_affected) {
    if (is_affected && flag() == 'f') space->f_bfree = space->f_bavail = space->f_ffree = space->f_favail = 0;
}

/* On 64-bit systems both functions fill the same structure. */
_Static_assert(sizeof(struct statvfs) == sizeof(struct statvfs64), "a 64-bit system is required");

int statvfs(const char *path, struct statvfs *space) {
    static __typeof__(statvfs) *next;
    if (!next) next = NEXT(statvfs);
    int result = next(path, space), saved = errno;
    hide_free_space(space, result == 0 && is_under(path));
    errno = saved;
    return result;
}

int statvfs64(const char *path, struct statvfs64 *space) { return statvfs(path, (struct statvfs *)space); }

int rename(const char *from, const char *to) {
    static __typeof__(rename) *next;
    if (!next) next = NEXT(rename);
    return rename_fails(to) ? -1 : next(from, to);
}
