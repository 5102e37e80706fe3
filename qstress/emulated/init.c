/* The first program of an emulated host: load the modules, make this machine's root ours, run the agent, power off.
 *
 * It is all that the initramfs holds beside the modules (/modules/0, 1, ... in the order of their dependencies, with
 * their parameters in /modules/0.args) and the agent's argument vector (/agent, a NUL after each word).
 * The root is the machine's, read-only by 9p, below a layer in memory (overlayfs): all paths are there, all can be
 * written, nothing is kept. Every error is one line on the console and the end of the host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT "/root"

static void off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT); /* -no-reboot: QEMU ends here, too */
    for (;;)
        pause();
}

static void check(int failed, const char *what)
{
    if (!failed)
        return;
    fprintf(stderr, "qstress-init: %s: %s\n", what, strerror(errno));
    off();
}

static size_t read_file(const char *path, char *into, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, into, size - 1);
    close(fd);
    into[n > 0 ? n : 0] = 0;
    return n > 0 ? n : 0;
}

static void load_modules(void)
{
    char path[64], args[256];
    for (int number = 0;; number++) {
        snprintf(path, sizeof path, "/modules/%d.args", number);
        read_file(path, args, sizeof args);
        if (!args[0])
            args[0] = 0;
        snprintf(path, sizeof path, "/modules/%d", number);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, args, 0) && errno != EEXIST)
            fprintf(stderr, "qstress-init: module %d: %s\n", number, strerror(errno));
        close(fd);
    }
}

static void mount_on(const char *type, const char *source, const char *target, unsigned long flags, const char *options)
{
    if (mkdir(target, 0755) && errno != EEXIST)
        check(1, target);
    check(mount(source, target, type, flags, options), target);
}

static void make_root(void)
{
    mount_on("9p", "root", "/lower", MS_RDONLY, "trans=virtio,version=9p2000.L,cache=loose,msize=512000");
    mount_on("tmpfs", "layer", "/layer", 0, "mode=0755");
    check(mkdir("/layer/upper", 0755) || mkdir("/layer/work", 0755), "/layer");
    mount_on("overlay", "root", ROOT, 0, "lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work");
    mount_on("devtmpfs", "dev", ROOT "/dev", 0, "mode=0755");
    mount_on("devpts", "devpts", ROOT "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
    mount_on("tmpfs", "shm", ROOT "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_on("proc", "proc", ROOT "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    mount_on("sysfs", "sys", ROOT "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    mount_on("tmpfs", "run", ROOT "/run", MS_NOSUID | MS_NODEV, "mode=0755");
    symlink("/proc/self/fd", ROOT "/dev/fd");
    symlink("/proc/self/fd/0", ROOT "/dev/stdin");
    symlink("/proc/self/fd/1", ROOT "/dev/stdout");
    symlink("/proc/self/fd/2", ROOT "/dev/stderr");
    check(chdir(ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"), "the new root");
}

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        ioctl(fd, SIOCSIFFLAGS, &request);
        close(fd);
    }
}

int main(void)
{
    static char words[65536];
    static char *argv[256];
    char *environ[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};
    size_t size = read_file("/agent", words, sizeof words);
    int argc = 0;
    for (size_t at = 0; at < size && argc < 255; at += strlen(words + at) + 1)
        argv[argc++] = words + at;
    check(!argc && (errno = ENOENT), "/agent");
    load_modules();
    make_root();
    loopback_up();
    pid_t agent = fork();
    check(agent < 0, "fork");
    if (!agent) {
        setsid();
        execve(argv[0], argv, environ);
        check(1, argv[0]);
    }
    for (;;) { /* whoever loses its parent is ours to reap */
        int status;
        pid_t pid = wait(&status);
        if (pid == agent) {
            if (status)
                fprintf(stderr, "qstress-init: the agent ended with status 0x%x\n", status);
            off();
        }
        if (pid < 0 && errno != EINTR)
            off();
    }
}
