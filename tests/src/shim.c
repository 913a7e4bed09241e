/* Preloaded into a program under test: it can open no socket of the internet, each try is written down; and files may take only so many
 * bytes (FULL_AFTER) before the disk is full. What it saw goes to the file SHIM_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long long written;

static void say(const char *text)
{
    const char *log = getenv("SHIM_LOG");
    int fd = log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd < 0)
        return;
    syscall(SYS_write, fd, text, strlen(text));
    syscall(SYS_close, fd);
}

__attribute__((destructor)) static void total(void)
{
    char text[64];
    snprintf(text, sizeof text, "written %lld\n", __atomic_load_n(&written, __ATOMIC_RELAXED));
    say(text);
}

int socket(int domain, int type, int protocol)
{
    if (domain == AF_INET || domain == AF_INET6) {
        say("inet socket\n");
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_socket, domain, type, protocol);
}

/* 1 where a regular file may take no more. */
static int full(int fd, size_t bytes)
{
    const char *after = getenv("FULL_AFTER");
    struct stat s;
    if (syscall(SYS_fstat, fd, &s) != 0 || !S_ISREG(s.st_mode))
        return 0;
    if (!after)
        __atomic_add_fetch(&written, (long long)bytes, __ATOMIC_RELAXED);
    else if (__atomic_add_fetch(&written, (long long)bytes, __ATOMIC_RELAXED) > atoll(after)) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

ssize_t write(int fd, const void *from, size_t bytes)
{
    return full(fd, bytes) ? -1 : syscall(SYS_write, fd, from, bytes);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += parts[i].iov_len;
    return full(fd, bytes) ? -1 : syscall(SYS_writev, fd, parts, n);
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at)
{
    return full(fd, bytes) ? -1 : syscall(SYS_pwrite64, fd, from, bytes, at);
}

/* Copies within the system are not counted here, so they are not offered: programs read and write instead. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t bytes, unsigned flags)
{
    (void)in, (void)in_at, (void)out, (void)out_at, (void)bytes, (void)flags;
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t bytes)
{
    (void)out, (void)in, (void)at, (void)bytes;
    errno = ENOSYS;
    return -1;
}
