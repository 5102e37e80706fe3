/*
 * vCPU threads as QEMU's, through the interposer into the fake KVM: vcpus THREADS ROUNDS [sealed].
 *
 * Each thread makes its vCPU, then ROUNDS times reads it, writes it back and runs it. What it reads and writes is made
 * of its number and the round, so that a reader can tell a record of which only a part is new. "sealed": from then on
 * the kernel kills the process at any system call but write and exit. Prints the nanoseconds that one call took.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 256
static int fds[MAX_THREADS];
static uint32_t rounds;
static pthread_barrier_t ready;

/* Not SECCOMP_MODE_STRICT: that takes the clock away as well (it sets PR_TSC_SIGSEGV). */
static int seal(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void live(uint32_t number)
{
    int fd = fds[number];
    struct kvm_vcpu_events events;
    struct kvm_mp_state state = {.mp_state = KVM_MP_STATE_UNINITIALIZED};
    struct kvm_regs regs;
    struct kvm_sregs sregs;

    memset(&events, 0, sizeof events);
    memset(&regs, 0, sizeof regs);
    memset(&sregs, 0, sizeof sregs);
    events.flags = 8;
    sregs.cs.selector = (uint16_t)number;
    for (uint32_t round = 0; round < rounds; round++) {
        ioctl(fd, KVM_GET_VCPU_EVENTS, &events);
        ioctl(fd, KVM_GET_MP_STATE, &state);
        regs.rip = round * 256 + number;
        ioctl(fd, KVM_SET_SREGS, &sregs);
        ioctl(fd, KVM_SET_REGS, &regs);
        ioctl(fd, KVM_SET_VCPU_EVENTS, &events);
        ioctl(fd, KVM_RUN, 0);
    }
}

static void *thread(void *number)
{
    pthread_barrier_wait(&ready);
    live((uint32_t)(uintptr_t)number);
    return NULL;
}

int main(int count, char **words)
{
    uint32_t threads = (uint32_t)atoi(words[1]);
    int sealed = count > 3;
    struct timespec begin, end;
    pthread_t made[MAX_THREADS];
    char said[64];

    if (threads > MAX_THREADS)
        return 2;
    rounds = (uint32_t)atoi(words[2]);
    for (uint32_t i = 0; i < threads; i++)
        fds[i] = ioctl(0, KVM_CREATE_VCPU, i);
    pthread_barrier_init(&ready, NULL, threads + 1);
    for (uint32_t i = 0; i < threads && !sealed; i++)
        pthread_create(&made[i], NULL, thread, (void *)(uintptr_t)i);
    if (sealed ? seal() : pthread_barrier_wait(&ready) > 0)
        return 3;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (sealed)
        live(0);
    for (uint32_t i = 0; i < threads && !sealed; i++)
        pthread_join(made[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    int length = snprintf(said, sizeof said, "%.1f\n", ns / rounds / 6);
    if (write(1, said, (size_t)length) != length)
        return 4;
    syscall(SYS_exit, 0);
}
