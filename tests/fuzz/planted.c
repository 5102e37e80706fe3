/*
 * Faults planted into any QEMU, for tests only: loaded by LD_PRELOAD, it watches what QEMU reads from its monitors and
 * misbehaves at one command. QSTRESS_PLANT is FAULT:COMMAND, with FAULT one of
 *   crash   SIGSEGV
 *   stall   the thread that reads the monitor sleeps for ever
 *   leak    16 KiB that nobody frees
 *   leakfd  a descriptor that nobody closes
 *   twice   the reply is sent twice
 *   type    the reply's "return" is a number
 *   hold    what opens the file of this name sleeps for ever, and the main loop with it: hold:FILE
 * QEMU reads its monitors byte by byte, so what was read is collected per descriptor; what follows the command's name
 * tells the id of the reply to misbehave at.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 1024, KEPT = 64, REST = 256 };

static char read_so_far[FDS][KEPT];
static bool armed[FDS];
static char rest[FDS][REST]; /* of the message, from the command on */
static size_t rest_size[FDS];
static void *volatile lost; /* or the compiler sees that nobody needs it, and nothing leaks */

static const char *plant(const char *fault)
{
    const char *planted = getenv("QSTRESS_PLANT");
    size_t length = strlen(fault);

    return planted && !strncmp(planted, fault, length) && planted[length] == ':' ? planted + length + 1 : NULL;
}

static const char *command(void)
{
    const char *planted = getenv("QSTRESS_PLANT");
    const char *colon = planted ? strchr(planted, ':') : NULL;

    return colon ? colon + 1 : NULL;
}

void planted_stall(void);

static void misbehave(int fd)
{
    if (plant("crash")) {
        raise(SIGSEGV);
    } else if (plant("stall")) {
        planted_stall();
    } else if (plant("leak")) {
        lost = malloc(16384);
        memset(lost, fd, 16384);
    } else if (plant("leakfd")) {
        if (dup(fd) < 0) {
            perror("dup");
        }
    } else {
        armed[fd] = true;
        rest_size[fd] = 0;
    }
}

/* Whether this is the reply to the command, by its id. */
static bool wanted_reply(int fd, const char *id, const char *end)
{
    char quoted[KEPT];
    int size = snprintf(quoted, sizeof(quoted), "%.*s", (int)(end + 1 - (id + 6)), id + 6);

    rest[fd][rest_size[fd]] = '\0';
    return size < KEPT && strstr(rest[fd], quoted);
}

static void watch(int fd, const char *data, size_t length)
{
    char wanted[KEPT];
    int size = snprintf(wanted, sizeof(wanted), "\"%s\"", command());

    for (size_t i = 0; i < length; i++) {
        memmove(read_so_far[fd], read_so_far[fd] + 1, KEPT - 1);
        read_so_far[fd][KEPT - 1] = data[i];
        if (armed[fd] && rest_size[fd] < REST - 1) {
            rest[fd][rest_size[fd]++] = data[i];
        }
        if (size < KEPT && !memcmp(read_so_far[fd] + KEPT - size, wanted, size)) {
            misbehave(fd);
        }
    }
}

static ssize_t watch_all(int fd, const struct iovec *parts, size_t count, ssize_t got)
{
    ssize_t left = got;

    for (size_t i = 0; fd < FDS && command() && left > 0 && i < count; i++) {
        size_t length = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;

        watch(fd, parts[i].iov_base, length);
        left -= length;
    }
    return got;
}

/* Stands here, for a debugger to see. */
__attribute__((noinline)) void planted_stall(void)
{
    for (;;) {
        pause();
    }
}

FILE *fopen64(const char *path, const char *mode)
{
    static FILE *(*real)(const char *, const char *);

    if (!real) {
        real = (FILE * (*)(const char *, const char *))dlsym(RTLD_NEXT, "fopen64");
    }
    if (plant("hold") && !strcmp(path, command())) {
        planted_stall();
    }
    return real(path, mode);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    static ssize_t (*real)(int, struct msghdr *, int);

    if (!real) {
        real = (ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    }
    return watch_all(fd, message->msg_iov, message->msg_iovlen, real(fd, message, flags));
}

/* A monitor on a named pipe, as repro.sh has it. */
ssize_t readv(int fd, const struct iovec *parts, int count)
{
    static ssize_t (*real)(int, const struct iovec *, int);

    if (!real) {
        real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "readv");
    }
    return watch_all(fd, parts, count, real(fd, parts, count));
}

/* Send the reply to what came *from* there as misbehaviour wants it; -1 where nothing is planted in it. */
static ssize_t sent_wrongly(int from, int fd, const char *data, size_t length)
{
    char *text = strndup(data, length);
    char *id = strstr(text, "\"id\": \"");
    char *end = id ? strchr(id + 7, '"') : NULL;
    char wrong[256];
    ssize_t sent = -1;

    if (end && wanted_reply(from, id, end)) {
        if (plant("twice")) {
            armed[from] = false;
            sent = write(fd, data, length) < 0 ? -1 : write(fd, data, length);
        } else if (plant("type") && !strncmp(text, "{\"return\"", 9)) {
            armed[from] = false;
            snprintf(wrong, sizeof(wrong), "{\"return\": 5, %.*s}\r\n", (int)(end + 1 - id), id);
            sent = write(fd, wrong, strlen(wrong)) < 0 ? -1 : (ssize_t)length;
        }
    }
    free(text);
    return sent;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*real)(int, const struct msghdr *, int);
    ssize_t sent = -1;

    if (!real) {
        real = (ssize_t (*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    }
    if (fd < FDS && armed[fd] && message->msg_iovlen == 1) {
        sent = sent_wrongly(fd, fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    }
    return sent >= 0 ? sent : real(fd, message, flags);
}

/* A pipe has a descriptor for each way; so the reply may be one to what came on any other. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    static ssize_t (*real)(int, const struct iovec *, int);
    ssize_t sent = -1;

    if (!real) {
        real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    }
    for (int from = 0; sent < 0 && count == 1 && from < FDS; from++) {
        if (armed[from]) {
            sent = sent_wrongly(from, fd, parts[0].iov_base, parts[0].iov_len);
        }
    }
    return sent >= 0 ? sent : real(fd, parts, count);
}
