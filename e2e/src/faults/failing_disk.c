/* A disk that fails when told to: preloaded into the ClickHouse front of a fault campaign, and nowhere else.
 *
 * FAILING_DISK names a directory, FAILING_DISK_FLAG a file. As long as that file exists, the disk under the directory
 *   "full"       has no room: the engine asks before it writes
 *   "no-rename"  fails every rename with ENOSPC: files can be written, and an insert ends between its token and its data
 * as the file says. Neither can be had from the system without being root.
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

/* The first letter of the flag file, 0 if there is none. */
static char flag(void) {
    static const char *name;
    char letter = 0;
    int fd;
    if (!name && !(name = getenv("FAILING_DISK_FLAG"))) return 0;
    fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &letter, 1) != 1) letter = 0;
    syscall(SYS_close, fd);
    return letter;
}

static int is_under(const char *path) {
    static const char *root;
    if (!root && !(root = getenv("FAILING_DISK"))) return 0;
    return strncmp(path, root, strlen(root)) == 0;
}

static int cannot_rename(const char *to) {
    int saved = errno, fails = is_under(to) && flag() == 'n';
    errno = fails ? ENOSPC : saved;
    return fails;
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static void fill(struct statvfs *space, int is_known) {
    if (is_known && flag() == 'f') space->f_bfree = space->f_bavail = space->f_ffree = space->f_favail = 0;
}

/* On 64-bit systems both names mean the same structure. */
_Static_assert(sizeof(struct statvfs) == sizeof(struct statvfs64), "a 64-bit system");

int statvfs(const char *path, struct statvfs *space) {
    static __typeof__(statvfs) *next;
    if (!next) next = NEXT(statvfs);
    int answer = next(path, space), saved = errno;
    fill(space, answer == 0 && is_under(path));
    errno = saved;
    return answer;
}

int statvfs64(const char *path, struct statvfs64 *space) { return statvfs(path, (struct statvfs *)space); }

int rename(const char *from, const char *to) {
    static __typeof__(rename) *next;
    if (!next) next = NEXT(rename);
    return cannot_rename(to) ? -1 : next(from, to);
}
