/* Monitors that answer at once, for tools/quick_monitors.py: quick_monitors LISTENING_FD REPLY_FILE
 *
 * Each connection is greeted as QEMU greets, and then answered a line for a line: the first with an empty return, all
 * others with what is in REPLY_FILE. It costs a few microseconds an answer, so that what is measured is who asks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <signal.h>

#define MOST_FDS 4096

static char reply[1 << 20];
static size_t reply_size;
static char negotiated[MOST_FDS];

static void say(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t said = send(fd, text, size, MSG_NOSIGNAL);
        if (said <= 0)
            return;
        text += said;
        size -= said;
    }
}

static void greet(int epoll, int fd)
{
    static const char greeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0 || fd >= MOST_FDS)
        exit(1);
    negotiated[fd] = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    say(fd, greeting, sizeof(greeting) - 1);
}

static void answer(int fd)
{
    static const char empty[] = "{\"return\": {}}\r\n";
    char asked[4096];
    ssize_t size = recv(fd, asked, sizeof(asked), 0);

    if (size <= 0) {
        close(fd);
        return;
    }
    for (char *line = asked; (line = memchr(line, '\n', asked + size - line)); line++) {
        if (negotiated[fd])
            say(fd, reply, reply_size);
        else
            say(fd, empty, sizeof(empty) - 1);
        negotiated[fd] = 1;
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[64], listening = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = argc > 2 ? atoi(argv[1]) : -1;
    FILE *file = argc > 2 ? fopen(argv[2], "r") : NULL;

    if (!file || epoll < 0)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    reply_size = fread(reply, 1, sizeof(reply), file);
    listening.data.fd = listener;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                greet(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            else
                answer(events[i].data.fd);
        }
    }
}
