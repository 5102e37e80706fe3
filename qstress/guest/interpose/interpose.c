/*
 * Stands between QEMU and KVM: preloaded (LD_PRELOAD), it sees every ioctl that QEMU makes, because QEMU calls ioctl()
 * through the dynamic linker. All others pass untouched. It starts no thread, allocates nothing, prints nothing, and
 * after its constructor makes no system call but the ioctl itself, so that it works under QEMU's -sandbox on.
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
 *       Count into that file (a memfd); see struct counters. A file that does not begin with the magic is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MSR_SMBASE 0x9e
#define SMBASE_AT_RESET 0x30000
#define MAX_MSRS 256 /* the kernel refuses this many and more in one call (MAX_IO_MSRS, arch/x86/kvm/x86.c) */

/* The log: native 64-bit numbers, the first one the magic, which whoever made the file has written. */
static const char magic[8] = {'q', 's', 't', 'r', 'l', 'o', 'g', '1'};
struct counters {
    char magic[8];
    uint64_t runtime;        /* KVM_SET_VCPU_EVENTS at run time: without KVM_VCPUEVENT_VALID_NMI_PENDING */
    uint64_t runtime_asked;  /* of these, those with KVM_VCPUEVENT_VALID_SMM as QEMU made them */
    uint64_t runtime_passed; /* of these, those with KVM_VCPUEVENT_VALID_SMM as the kernel got them */
    uint64_t reset;          /* KVM_SET_VCPU_EVENTS at reset level or above */
};

static int (*next_ioctl)(int, unsigned long, ...);
static struct counters *counters;
static int pretend_smm, writeback_reset_only;
static int kernel_has_smbase; /* then there is nothing to pretend */

static int is_set(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found && !strcmp(found, value);
}

static struct counters *map_log(const char *number)
{
    char begin[sizeof magic], *end;
    struct stat about;

    if (!number || !*number)
        return NULL;
    long fd = strtol(number, &end, 10);
    if (*end || fd < 0 || fd > INT32_MAX)
        return NULL;
    if (fstat((int)fd, &about) || !S_ISREG(about.st_mode) || about.st_size < (off_t)sizeof(struct counters))
        return NULL;
    if (pread((int)fd, begin, sizeof begin, 0) != sizeof begin || memcmp(begin, magic, sizeof magic))
        return NULL;
    void *map = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

__attribute__((constructor)) static void configure(void)
{
    int saved_errno = errno;

    next_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    pretend_smm = is_set("QSTRESS_INTERPOSE_SMM", "pretend");
    writeback_reset_only = is_set("QSTRESS_INTERPOSE_WRITEBACK", "reset-only");
    counters = map_log(getenv("QSTRESS_INTERPOSE_LOG_FD"));
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

/* QEMU's structure is its own: what is passed on with a change is a copy. */
static int set_vcpu_events(int fd, unsigned long request, struct kvm_vcpu_events *events)
{
    struct kvm_vcpu_events passed = *events;
    int at_runtime = !(events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING);

    if (at_runtime && writeback_reset_only)
        passed.flags &= ~(uint32_t)KVM_VCPUEVENT_VALID_SMM;
    if (counters) {
        count(at_runtime ? &counters->runtime : &counters->reset);
        if (at_runtime && events->flags & KVM_VCPUEVENT_VALID_SMM)
            count(&counters->runtime_asked);
        if (at_runtime && passed.flags & KVM_VCPUEVENT_VALID_SMM)
            count(&counters->runtime_passed);
    }
    return pass_on(fd, request, &passed);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);

    switch ((uint32_t)request) { /* QEMU holds it in an int: from 0x80000000 on it arrives sign-extended */
    case KVM_GET_MSR_INDEX_LIST:
        if (pretend_smm && argument)
            return get_msr_index_list(fd, request, argument);
        break;
    case KVM_GET_MSRS:
    case KVM_SET_MSRS:
        if (pretend_smm && argument)
            return transfer_msrs(fd, request, argument, (uint32_t)request == KVM_GET_MSRS);
        break;
    case KVM_SET_VCPU_EVENTS:
        if (argument && (writeback_reset_only || counters))
            return set_vcpu_events(fd, request, argument);
        break;
    }
    return pass_on(fd, request, argument);
}
