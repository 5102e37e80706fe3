/*
 * Faults planted into any QEMU, for tests only: loaded by LD_PRELOAD, it watches what QEMU reads from its monitors and
 * misbehaves at one command. QSTRESS_PLANT is FAULT:COMMAND, with FAULT one of
 *   crash   SIGSEGV
 *   stall   the thread that reads the monitor sleeps for ever
 *   leak    16 KiB that nobody frees
 *   leakfd  a descriptor that nobody closes
 *   twice   the reply is sent twice
 *   type    the reply's "return" is a number
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

static void misbehave(int fd)
{
    if (plant("crash")) {
        raise(SIGSEGV);
    } else if (plant("stall")) {
        for (;;) {
            pause();
        }
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

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    static ssize_t (*real)(int, struct msghdr *, int);

    if (!real) {
        real = (ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    }
    ssize_t got = real(fd, message, flags);
    ssize_t left = got;

    for (size_t i = 0; fd < FDS && command() && left > 0 && i < message->msg_iovlen; i++) {
        size_t length = message->msg_iov[i].iov_len < (size_t)left ? message->msg_iov[i].iov_len : (size_t)left;

        watch(fd, message->msg_iov[i].iov_base, length);
        left -= length;
    }
    return got;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*real)(int, const struct msghdr *, int);

    if (!real) {
        real = (ssize_t (*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    }
    if (fd >= FDS || !armed[fd] || message->msg_iovlen != 1) {
        return real(fd, message, flags);
    }
    char *text = strndup(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    char *id = strstr(text, "\"id\": \"");
    char *end = id ? strchr(id + 7, '"') : NULL;
    ssize_t sent = -1;

    if (end && !wanted_reply(fd, id, end)) {
        end = NULL;
    }
    if (end && plant("twice")) {
        armed[fd] = false;
        sent = real(fd, message, flags);
        real(fd, message, flags);
    } else if (end && plant("type") && !strncmp(text, "{\"return\"", 9)) {
        char wrong[256];

        armed[fd] = false;
        snprintf(wrong, sizeof(wrong), "{\"return\": 5, %.*s}\r\n", (int)(end + 1 - id), id);
        sent = send(fd, wrong, strlen(wrong), flags) < 0 ? -1 : (ssize_t)message->msg_iov[0].iov_len;
    } else {
        sent = real(fd, message, flags);
    }
    free(text);
    return sent;
}
