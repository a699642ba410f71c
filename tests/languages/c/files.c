/* What a C library makes of a granted folder: every step that a program is likely to take, each with how it ended. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "handler.h"

const char NAME[] = "files_c";
const char DESCRIPTION[] = "Uses a folder as programs in C do, and says how each step ended.";
const char SCHEMA[] = "{\"type\":\"object\"}";
const char *const KINDS[] = {"files"};
const size_t KINDS_LEN = 1;

static char report[16384];
static size_t used;

static void say(const char *step, const char *how, ...) {
    va_list values;
    va_start(values, how);
    used += snprintf(report + used, sizeof report - used, "%s: ", step);
    used += vsnprintf(report + used, sizeof report - used, how, values);
    used += snprintf(report + used, sizeof report - used, "\n");
    va_end(values);
}

static const char *name_of(int code) {
    switch (code) {
    case 0: return "ok";
    case EACCES: return "EACCES";
    case EPERM: return "EPERM";
    case ENOENT: return "ENOENT";
    case ENOTEMPTY: return "ENOTEMPTY";
    case EEXIST: return "EEXIST";
    case EISDIR: return "EISDIR";
    case ENOTDIR: return "ENOTDIR";
    case EDQUOT: return "EDQUOT";
    case ENOSPC: return "ENOSPC";
    case EROFS: return "EROFS";
    case EXDEV: return "EXDEV";
    case ENOTSUP: return "ENOTSUP";
    case ENOSYS: return "ENOSYS";
    case ENOTCAPABLE: return "ENOTCAPABLE";
    case EILSEQ: return "EILSEQ";
    default: return strerror(code);
    }
}

static void did(const char *step, int result) { say(step, "%s", result == 0 ? "ok" : name_of(errno)); }

static int put(const char *path, const char *mode, const char *words) {
    FILE *file = fopen(path, mode);
    if (file == NULL) return -1;
    int wrote = fputs(words, file) >= 0 ? 0 : -1;
    return fclose(file) == 0 ? wrote : -1;
}

static const char *got(const char *path) {
    static char words[256];
    FILE *file = fopen(path, "r");
    if (file == NULL) return name_of(errno);
    words[fread(words, 1, sizeof words - 1, file)] = 0;
    fclose(file);
    return words;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Not by `scandir`, with which wasi-libc asks about the folder around the one that is read. */
static const char *listed(const char *path) {
    static char line[1024];
    char *names[32];
    size_t count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) return name_of(errno);
    errno = 0;
    for (struct dirent *entry; count < 32 && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char name[300];
        const char *mark = entry->d_type == DT_DIR ? "/" : entry->d_type == DT_LNK ? "@" : "";
        snprintf(name, sizeof name, "%s%s", entry->d_name, mark);
        names[count++] = strdup(name);
    }
    int why = errno;
    closedir(folder);
    if (why != 0) return name_of(why);
    qsort(names, count, sizeof *names, by_name);
    strcpy(line, count == 0 ? "nothing" : "");
    for (size_t n = 0; n < count; n++) {
        strcat(strcat(line, n == 0 ? "" : " "), names[n]);
        free(names[n]);
    }
    return line;
}

/* Writes until there is no room. */
static int fill(const char *path, long bytes) {
    static char block[65536];
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0) return -1;
    int result = 0;
    for (long done = 0; done < bytes && result == 0; done += sizeof block) {
        if (write(file, block, sizeof block) != (ssize_t)sizeof block) result = -1;
    }
    int why = errno;
    close(file);
    errno = why;
    return result;
}

const char *run(const char *arguments, size_t len) {
    (void)arguments, (void)len;
    struct stat about;
    did("mkdir", mkdir("/notes/c", 0700));
    did("mkdir again", mkdir("/notes/c", 0700));
    did("fopen w", put("/notes/c/one", "w", "first,"));
    did("fopen a", put("/notes/c/one", "a", "second,"));
    say("read", "%s", got("/notes/c/one"));
    did("fopen wx", put("/notes/c/one", "wx", ""));
    did("stat", stat("/notes/c/one", &about));
    say("size", "%lld regular=%d", (long long)about.st_size, S_ISREG(about.st_mode));
    say("mtime", "%s", about.st_mtim.tv_sec > 1000000000 ? "set" : "none");
    FILE *both = fopen("/notes/c/one", "r+");
    if (both != NULL) {
        fseek(both, 6, SEEK_SET);
        fputs("SECOND", both);
        fseek(both, 0, SEEK_END);
        say("seek", "%ld", ftell(both));
        did("fsync", fsync(fileno(both)));
        did("ftruncate", ftruncate(fileno(both), 12));
        fclose(both);
    }
    say("read", "%s", got("/notes/c/one"));
    did("rename", rename("/notes/c/one", "/notes/c/two"));
    did("put", put("/notes/c/three", "w", "3"));
    did("rename over", rename("/notes/c/three", "/notes/c/two"));
    say("read", "%s", got("/notes/c/two"));
    did("access W", access("/notes/c/two", W_OK));
    did("access gone", access("/notes/c/one", F_OK));
    did("symlink", symlink("two", "/notes/c/link"));
    char target[64] = {0};
    did("readlink", readlink("/notes/c/link", target, sizeof target - 1) < 0 ? -1 : 0);
    say("target", "%s", target);
    say("through it", "%s", got("/notes/c/link"));
    did("symlink out", symlink("/etc/passwd", "/notes/c/out"));
    did("symlink up", symlink("../../..", "/notes/c/up"));
    say("through up", "%s", listed("/notes/c/up"));
    did("link", link("/notes/c/two", "/notes/c/hard"));
    did("utimensat", utimensat(AT_FDCWD, "/notes/c/two", (struct timespec[]){{1600000000, 0}, {1600000000, 0}}, 0));
    did("stat", stat("/notes/c/two", &about));
    say("mtime", "%lld", (long long)about.st_mtim.tv_sec);
    did("mkdir", mkdir("/notes/c/inner", 0700));
    say("list", "%s", listed("/notes/c"));
    did("rmdir full", rmdir("/notes/c"));
    did("rmdir a file", rmdir("/notes/c/two"));
    did("unlink a folder", unlink("/notes/c/inner"));
    did("chdir", chdir("/notes/c"));
    say("relative", "%s", got("two"));
    did("opendir file", opendir("/notes/c/two") == NULL ? -1 : 0);
    did("up and out", put("/notes/../out", "w", "x"));
    did("absolute", open("/etc/passwd", O_RDONLY) < 0 ? -1 : 0);
    did("chmod", chmod("/notes/c/two", 0600));
    did("fill", fill("/notes/c/large", 1 << 24));
    did("unlink", unlink("/notes/c/large"));
    did("unlink", unlink("/notes/c/two"));
    did("unlink", unlink("/notes/c/link"));
    did("unlink", unlink("/notes/c/out"));
    did("unlink", unlink("/notes/c/up"));
    did("rmdir", rmdir("/notes/c/inner"));
    did("rmdir", rmdir("/notes/c"));
    say("left", "%s", listed("/notes"));
    report[used - 1] = 0; /* the last end of line */
    return report;
}
