/* A disk that turns read-only under a program that has its files open, which no mount can be made to do on demand: while the file
   READONLY_WHILE exists, writes to files below READONLY_FOLDER fail with EROFS, as they do after an error of the disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int refused(int fd) {
  const char *when = getenv("READONLY_WHILE"), *folder = getenv("READONLY_FOLDER");
  char link[64], path[PATH_MAX];
  if (!when || !folder || access(when, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, folder, strlen(folder)) != 0) return 0;
  errno = EROFS;
  return 1;
}

#define WRITES(name, offset)                                                  \
  ssize_t name(int fd, const void *bytes, size_t count, offset at) {          \
    static ssize_t (*real)(int, const void *, size_t, offset);                \
    if (!real) real = dlsym(RTLD_NEXT, #name);                                \
    return refused(fd) ? -1 : real(fd, bytes, count, at);                     \
  }

WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  return refused(fd) ? -1 : real(fd, bytes, count);
}

#define CUTS(name, offset)                                                    \
  int name(int fd, offset length) {                                           \
    static int (*real)(int, offset);                                          \
    if (!real) real = dlsym(RTLD_NEXT, #name);                                \
    return refused(fd) ? -1 : real(fd, length);                               \
  }

CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)
