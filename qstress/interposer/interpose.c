/*
 * Stands between QEMU and KVM: preloaded (LD_PRELOAD), it sees every ioctl that QEMU makes, because QEMU calls ioctl()
 * through the dynamic linker. All others pass untouched. It starts no thread, allocates nothing, prints nothing, and
 * after its constructor makes no system call but the ioctl itself (and futex, where a hold is asked for), so that it
 * works under QEMU's -sandbox on. One file, because a reproducer carries its source along.
 *
 * Environment, read once when the library is loaded:
 *
 *   QSTRESS_INTERPOSE_SMM=pretend
 *       Where KVM has no SMM, QEMU is told that it has: MSR 0x9e (SMBASE) is added to KVM_GET_MSR_INDEX_LIST, which is
 *       all that QEMU 7.2 to 11 ask (has_msr_smbase, target/i386/kvm/kvm.c), and is kept out of KVM_GET_MSRS and
 *       KVM_SET_MSRS, which the kernel would refuse. What QEMU then writes back is the choice of its own code.
 *   QSTRESS_INTERPOSE_WRITEBACK=reset-only
 *       Imitates the fix of 2025-09-09 ("KVM: x86: Restrict writeback of SMI VCPU state"): a KVM_SET_VCPU_EVENTS at
 *       run time is passed on without KVM_VCPUEVENT_VALID_SMM.
 *   QSTRESS_INTERPOSE_LOG_FD=<number of a descriptor>
 *       Count and record into that file (a memfd), and obey it; see struct log. A file that does not begin with the
 *       magic, or is too short, is left alone.
 *   QSTRESS_INTERPOSE_HOLD_WRITE_NS, QSTRESS_INTERPOSE_HOLD_READ_NS=<nanoseconds>
 *       Keep an AP that waits for its INIT that long right before a KVM_SET_VCPU_EVENTS at run time, or right before a
 *       KVM_GET_VCPU_EVENTS, while log->holding is set. Without a log file they are always held.
 *   QSTRESS_INTERPOSE_HOLD_UNTIL_CHECKIN_NS=<nanoseconds>
 *       Beyond that, keep the first AP that is about to write back until another AP was woken by its INIT, at most so
 *       long. Once for each bring-up.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef KVM_SET_SREGS2 /* headers before Linux 5.14 */
#define KVM_SET_SREGS2 0x4140aecd
#endif
#define MSR_SMBASE 0x9e
#define SMBASE_AT_RESET 0x30000
#define MAX_MSRS 256 /* the kernel refuses this many and more in one call (MAX_IO_MSRS, arch/x86/kvm/x86.c) */

/* The log: native numbers, the first one the magic, which whoever made the file has written. qstress/interposer/windows.py and
 * log.py read it. The last digit of the magic is the version of all that follows. */
static const char magic[8] = {'q', 's', 't', 'r', 'l', 'o', 'g', '2'};
#define RECORDS 262144 /* 8 MiB, of which only what is used takes memory; some 25 s of the fastest hammer */

enum kind {             /* value */
    KIND_READ = 1,      /* KVM_GET_VCPU_EVENTS has answered: latched_init, and smi.smm << 8 */
    KIND_MP_STATE = 2,  /* KVM_GET_MP_STATE has answered: its answer */
    KIND_HELD = 3,      /* a hold begins: 0 before a read, 1 before a write */
    KIND_WRITE = 4,     /* KVM_SET_VCPU_EVENTS is about to be made: see write_value() */
    KIND_RUN = 5,       /* the first KVM_RUN after any of these: 0 */
    KIND_WOKEN = 6,     /* KVM_RUN has answered EAGAIN to an AP: an INIT or SIPI woke it: 0 */
};

/* A reader may come while this is written, or two writers may meet where one was stopped for a whole turn of the ring:
 * what does not add up is no record. */
struct record {
    uint64_t what;  /* the record's number, counted from 1, modulo 2**32, << 32; kind << 16; index of the vCPU */
    uint64_t ns;    /* CLOCK_MONOTONIC */
    uint64_t value;
    uint64_t check; /* 5 * what + 3 * value + ns */
};

struct log {
    char magic[8];
    uint64_t runtime;        /* KVM_SET_VCPU_EVENTS at run time: without KVM_VCPUEVENT_VALID_NMI_PENDING */
    uint64_t runtime_asked;  /* of these, those with KVM_VCPUEVENT_VALID_SMM as QEMU made them */
    uint64_t runtime_passed; /* of these, those with KVM_VCPUEVENT_VALID_SMM as the kernel got them */
    uint64_t reset;          /* KVM_SET_VCPU_EVENTS at reset level or above */
    uint64_t head;           /* how many records were ever begun; number n lies in ring[(n - 1) % RECORDS] */
    uint32_t holding;        /* set by qstress; holds last only while it is not 0 */
    uint32_t bell;           /* the futex that sleepers wait on; changes with holding and with woken */
    uint32_t woken;          /* APs woken since the last reset */
    uint32_t kept;           /* 1: some AP has been kept until a check-in since the last reset */
    struct record ring[RECORDS] __attribute__((aligned(64)));
};
_Static_assert(sizeof(struct record) == 32 && offsetof(struct log, ring) == 64, "read by qstress/interposer/windows.py");

/* What is known of a vCPU; only its own thread uses it. Its index is by order of creation: QEMU's cpu-index, not the
 * APIC id that KVM_CREATE_VCPU is given. 0 is the boot CPU. */
struct vcpu {
    uint8_t looked_at; /* something was recorded since its last KVM_RUN */
    uint8_t up;        /* its INIT has come since the last reset */
    uint16_t cs;       /* as QEMU wrote them last */
    uint32_t eip;
} __attribute__((aligned(64)));

#define MAX_VCPUS 8192
#define MAX_FDS 65536

static int (*next_ioctl)(int, unsigned long, ...);
static struct log *log;
static struct log own_log; /* without a file: where the control words are, if there is a hold */
static int pretend_smm, writeback_reset_only;
static int kernel_has_smbase; /* then there is nothing to pretend */
static uint64_t hold_write_ns, hold_read_ns, hold_until_checkin_ns;
static struct vcpu vcpus[MAX_VCPUS];
static uint32_t vcpus_made;
static uint16_t number_of_fd[MAX_FDS]; /* index + 1; a vCPU's descriptor stays open as long as the process */

static int is_set(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found && !strcmp(found, value);
}

static uint64_t nanoseconds(const char *name)
{
    const char *found = getenv(name);
    return found ? strtoull(found, NULL, 10) : 0;
}

static struct log *map_log(const char *number)
{
    char begin[sizeof magic], last, *end;

    if (!number || !*number)
        return NULL;
    long fd = strtol(number, &end, 10);
    if (*end || fd < 0 || fd > INT32_MAX)
        return NULL;
    if (pread((int)fd, begin, sizeof begin, 0) != sizeof begin || memcmp(begin, magic, sizeof magic))
        return NULL;
    if (pread((int)fd, &last, 1, sizeof(struct log) - 1) != 1) /* no fstat(): glibc before 2.33 does not export it */
        return NULL;
    void *map = mmap(NULL, sizeof(struct log), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

__attribute__((constructor)) static void configure(void)
{
    int saved_errno = errno;

    next_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    pretend_smm = is_set("QSTRESS_INTERPOSE_SMM", "pretend");
    writeback_reset_only = is_set("QSTRESS_INTERPOSE_WRITEBACK", "reset-only");
    hold_write_ns = nanoseconds("QSTRESS_INTERPOSE_HOLD_WRITE_NS");
    hold_read_ns = nanoseconds("QSTRESS_INTERPOSE_HOLD_READ_NS");
    hold_until_checkin_ns = nanoseconds("QSTRESS_INTERPOSE_HOLD_UNTIL_CHECKIN_NS");
    log = map_log(getenv("QSTRESS_INTERPOSE_LOG_FD"));
    if (!log && (hold_write_ns || hold_read_ns || hold_until_checkin_ns)) {
        log = &own_log;
        log->holding = 1;
    }
    errno = saved_errno;
}

/* Before the constructor has run (another library's may come first) the system call itself serves. */
static int pass_on(int fd, unsigned long request, void *argument)
{
    return next_ioctl ? next_ioctl(fd, request, argument) : (int)syscall(SYS_ioctl, fd, request, argument);
}

static void count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* in the vDSO: no system call */
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct vcpu *vcpu_of(int fd)
{
    uint16_t number = log && fd >= 0 && fd < MAX_FDS ? __atomic_load_n(&number_of_fd[fd], __ATOMIC_ACQUIRE) : 0;
    return number ? &vcpus[number - 1] : NULL;
}

/* Several vCPU threads may be here at once; each gets a place of its own, the oldest one. */
static void record(struct vcpu *vcpu, enum kind kind, uint64_t value)
{
    uint64_t number = __atomic_fetch_add(&log->head, 1, __ATOMIC_RELAXED);
    struct record *place = &log->ring[number % RECORDS];
    uint64_t what = (number + 1) << 32 | (uint64_t)kind << 16 | (uint64_t)(vcpu - vcpus), ns = now_ns();

    place->what = what;
    place->ns = ns;
    place->value = value;
    place->check = 5 * what + 3 * value + ns;
    vcpu->looked_at = kind != KIND_RUN;
}

static void ring_the_bell(void)
{
    int saved_errno = errno;
    __atomic_fetch_add(&log->bell, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &log->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved_errno;
}

/* An AP's INIT has come (and was lost, perhaps): hold it no more, and let go the one that is kept until this. */
static void is_up(struct vcpu *vcpu)
{
    if (vcpu == vcpus || vcpu->up)
        return;
    vcpu->up = 1;
    __atomic_fetch_add(&log->woken, 1, __ATOMIC_SEQ_CST);
    if (hold_until_checkin_ns)
        ring_the_bell();
}

static void is_reset(struct vcpu *vcpu)
{
    vcpu->up = 0;
    __atomic_store_n(&log->woken, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&log->kept, 0, __ATOMIC_SEQ_CST);
}

static int may_hold(const struct vcpu *vcpu)
{
    return vcpu != vcpus && !vcpu->up && __atomic_load_n(&log->holding, __ATOMIC_SEQ_CST);
}

/* Sleep until that time, or until qstress lets go, or, where asked to, until another AP is up. */
static void sleep_until(uint64_t until_ns, int or_woken)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};
    int saved_errno = errno;

    for (;;) {
        uint32_t bell = __atomic_load_n(&log->bell, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&log->holding, __ATOMIC_SEQ_CST) || now_ns() >= until_ns)
            break;
        if (or_woken && __atomic_load_n(&log->woken, __ATOMIC_SEQ_CST))
            break;
        /* unlike FUTEX_WAIT this one takes an absolute time, so that signals do not lengthen the hold */
        syscall(SYS_futex, &log->bell, FUTEX_WAIT_BITSET, bell, &until, NULL, FUTEX_BITSET_MATCH_ANY);
    }
    errno = saved_errno;
}

static void hold_before_read(struct vcpu *vcpu)
{
    if (!hold_read_ns || !may_hold(vcpu))
        return;
    record(vcpu, KIND_HELD, 0);
    sleep_until(now_ns() + hold_read_ns, 0);
}

static void hold_before_write(struct vcpu *vcpu)
{
    if (!(hold_write_ns || hold_until_checkin_ns) || !may_hold(vcpu))
        return;
    int keep = hold_until_checkin_ns && !__atomic_exchange_n(&log->kept, 1, __ATOMIC_SEQ_CST);
    if (!hold_write_ns && !keep)
        return;
    record(vcpu, KIND_HELD, 1);
    if (hold_write_ns)
        sleep_until(now_ns() + hold_write_ns, 0);
    if (keep)
        sleep_until(now_ns() + hold_until_checkin_ns, 1);
}

/*
 * The caller says for how many it has room; KVM answers how many there are, with E2BIG when they do not fit. So one
 * more is announced when they do not fit, and added when they do.
 */
static int get_msr_index_list(int fd, unsigned long request, struct kvm_msr_list *list)
{
    uint32_t room = list->nmsrs;
    int result = pass_on(fd, request, list);

    if (result < 0) {
        if (errno == E2BIG)
            list->nmsrs++;
        return result;
    }
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        if (list->indices[i] == MSR_SMBASE) {
            kernel_has_smbase = 1;
            return result;
        }
    }
    uint32_t last = list->nmsrs++;
    if (last >= room) {
        errno = E2BIG;
        return -1;
    }
    list->indices[last] = MSR_SMBASE;
    return result;
}

/*
 * Read or write MSRs without SMBASE. KVM answers how many it did, in order, up to the first one that it refuses; the
 * caller must get the count that it would get if SMBASE had been one of them.
 */
static int transfer_msrs(int fd, unsigned long request, struct kvm_msrs *msrs, int reading)
{
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entries[MAX_MSRS];
    } others;
    uint32_t smbase = 0, total = msrs->nmsrs;

    while (smbase < total && msrs->entries[smbase].index != MSR_SMBASE)
        smbase++;
    if (kernel_has_smbase || smbase == total || total > MAX_MSRS)
        return pass_on(fd, request, msrs);

    uint32_t before = smbase, after = total - smbase - 1;
    others.header.nmsrs = before + after;
    others.header.pad = msrs->pad;
    memcpy(others.entries, msrs->entries, before * sizeof *others.entries);
    memcpy(others.entries + before, msrs->entries + smbase + 1, after * sizeof *others.entries);
    int done = pass_on(fd, request, &others);
    if (done < 0)
        return done;
    if (reading) {
        memcpy(msrs->entries, others.entries, before * sizeof *others.entries);
        memcpy(msrs->entries + smbase + 1, others.entries + before, after * sizeof *others.entries);
    }
    if ((uint32_t)done < before)
        return done;
    if (reading)
        msrs->entries[smbase].data = SMBASE_AT_RESET;
    return done + 1;
}

static int create_vcpu(int fd, unsigned long request, void *argument)
{
    int made = pass_on(fd, request, argument);

    if (made >= 0 && made < MAX_FDS) {
        uint32_t number = __atomic_add_fetch(&vcpus_made, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&number_of_fd[made], number <= MAX_VCPUS ? (uint16_t)number : 0, __ATOMIC_RELEASE);
    }
    return made;
}

static int get_vcpu_events(struct vcpu *vcpu, int fd, unsigned long request, struct kvm_vcpu_events *events)
{
    hold_before_read(vcpu);
    int result = pass_on(fd, request, events);
    if (result >= 0)
        record(vcpu, KIND_READ, events->smi.latched_init | (uint64_t)events->smi.smm << 8);
    return result;
}

static int get_mp_state(struct vcpu *vcpu, int fd, unsigned long request, struct kvm_mp_state *state)
{
    int result = pass_on(fd, request, state);
    if (result >= 0) {
        record(vcpu, KIND_MP_STATE, state->mp_state);
        if (state->mp_state != KVM_MP_STATE_UNINITIALIZED)
            is_up(vcpu);
    }
    return result;
}

static int run(struct vcpu *vcpu, int fd, unsigned long request, void *argument)
{
    if (vcpu->looked_at)
        record(vcpu, KIND_RUN, 0);
    int result = pass_on(fd, request, argument);
    /* what KVM answers when an INIT or SIPI ends the wait in KVM_MP_STATE_UNINITIALIZED (kvm_arch_vcpu_ioctl_run) */
    if (result < 0 && errno == EAGAIN && vcpu != vcpus) {
        record(vcpu, KIND_WOKEN, 0);
        is_up(vcpu);
    }
    return result;
}

/* Flags as QEMU made them and as KVM gets them, then where QEMU has just put the vCPU: CS selector and EIP. */
static uint64_t write_value(const struct vcpu *vcpu, uint32_t asked, uint32_t passed)
{
    return (asked & 0xff) | (passed & 0xff) << 8 | (uint64_t)vcpu->cs << 16 | (uint64_t)vcpu->eip << 32;
}

/* QEMU's structure is its own: what is passed on with a change is a copy. */
static int set_vcpu_events(int fd, unsigned long request, struct kvm_vcpu_events *events)
{
    struct kvm_vcpu_events passed = *events;
    int at_runtime = !(events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING);
    struct vcpu *vcpu = vcpu_of(fd);

    if (at_runtime && writeback_reset_only)
        passed.flags &= ~(uint32_t)KVM_VCPUEVENT_VALID_SMM;
    if (log) {
        count(at_runtime ? &log->runtime : &log->reset);
        if (at_runtime && events->flags & KVM_VCPUEVENT_VALID_SMM)
            count(&log->runtime_asked);
        if (at_runtime && passed.flags & KVM_VCPUEVENT_VALID_SMM)
            count(&log->runtime_passed);
    }
    if (vcpu) {
        if (at_runtime)
            hold_before_write(vcpu);
        else
            is_reset(vcpu);
        record(vcpu, KIND_WRITE, write_value(vcpu, events->flags, passed.flags));
    }
    return pass_on(fd, request, &passed);
}

int ioctl(int fd, unsigned long request, ...)
{
    struct vcpu *vcpu;
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);

    switch ((uint32_t)request) { /* QEMU holds it in an int: from 0x80000000 on it arrives sign-extended */
    case KVM_RUN: /* by far the most frequent */
        if ((vcpu = vcpu_of(fd)))
            return run(vcpu, fd, request, argument);
        break;
    case KVM_GET_MSR_INDEX_LIST:
        if (pretend_smm && argument)
            return get_msr_index_list(fd, request, argument);
        break;
    case KVM_GET_MSRS:
    case KVM_SET_MSRS:
        if (pretend_smm && argument)
            return transfer_msrs(fd, request, argument, (uint32_t)request == KVM_GET_MSRS);
        break;
    case KVM_CREATE_VCPU:
        if (log)
            return create_vcpu(fd, request, argument);
        break;
    case KVM_GET_VCPU_EVENTS:
        if (argument && (vcpu = vcpu_of(fd)))
            return get_vcpu_events(vcpu, fd, request, argument);
        break;
    case KVM_GET_MP_STATE:
        if (argument && (vcpu = vcpu_of(fd)))
            return get_mp_state(vcpu, fd, request, argument);
        break;
    case KVM_SET_SREGS:
    case KVM_SET_SREGS2: /* the same up to the selector */
        if (argument && (vcpu = vcpu_of(fd)))
            vcpu->cs = ((struct kvm_sregs *)argument)->cs.selector;
        break;
    case KVM_SET_REGS:
        if (argument && (vcpu = vcpu_of(fd)))
            vcpu->eip = (uint32_t)((struct kvm_regs *)argument)->rip;
        break;
    case KVM_SET_VCPU_EVENTS:
        if (argument && (writeback_reset_only || log))
            return set_vcpu_events(fd, request, argument);
        break;
    }
    return pass_on(fd, request, argument);
}
