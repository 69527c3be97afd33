/* Makes the disk fail: preloaded (LD_PRELOAD) into the server, it spoils system calls on the databases' files.
 *
 * The file that KEZ_FAULT names holds one letter while the disk fails, and is missing while it works:
 *   e  fsync and fdatasync: EIO          n  fsync and fdatasync: ENOSPC
 *   i  writes: half of it, then EIO      f  writes: half of it, then ENOSPC
 *   s  writes: half of it is taken, as a signal or a network file system may do it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char fault(int fd) {
    const char *flag = getenv("KEZ_FAULT");
    char link[64], path[4096], letter = 0;
    if (flag == NULL) return 0;
    int kept = errno;
    int file = open(flag, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, &letter, 1) != 1) letter = 0;
        close(file);
    }
    if (letter != 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        if (strstr(path, "/kez-chat") == NULL || strstr(path, ".db") == NULL) letter = 0;
    }
    errno = kept;
    return letter;
}

static int fails(int error) {
    errno = error;
    return -1;
}

static int synced(long call, int fd) {
    switch (fault(fd)) {
        case 'e': return fails(EIO);
        case 'n': return fails(ENOSPC);
        default: return (int)syscall(call, fd);
    }
}

int fsync(int fd) { return synced(SYS_fsync, fd); }
int fdatasync(int fd) { return synced(SYS_fdatasync, fd); }

/* How much of a write is taken; what is left fails with *error, if there is one. */
static size_t taken(int fd, size_t count, int *error) {
    *error = 0;
    switch (fault(fd)) {
        case 'i': *error = EIO; break;
        case 'f': *error = ENOSPC; break;
        case 's': break;
        default: return count;
    }
    return count > 1 ? count / 2 : count;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    int error;
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, taken(fd, count, &error), offset);
    return error ? fails(error) : written;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

ssize_t write(int fd, const void *bytes, size_t count) {
    int error;
    ssize_t written = syscall(SYS_write, fd, bytes, taken(fd, count, &error));
    return error ? fails(error) : written;
}
