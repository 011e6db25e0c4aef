/* Preloaded while the image is built: gives build scripts the same "random" bytes in each build. That of promql-parser writes
 * a table in the order of a hash map, whose seed is drawn at random, so that two builds would differ. Compilers and everything
 * else get what they ask for. Nothing of this is in the image. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int in_build_script(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = 0;
    return strstr(path, "/build-script-") != NULL || strstr(path, "/build_script_") != NULL;
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    if (in_build_script()) {
        memset(buffer, 7, length);
        return (ssize_t)length;
    }
    return syscall(SYS_getrandom, buffer, length, flags);
}
