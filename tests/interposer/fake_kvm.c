/* A KVM without SMM for the tests here: answers the calls that the interposer sees, on any descriptor. What a vCPU is
 * asked for stays as the caller made it: the caller is the guest as well. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What "KVM" got last; caller.py reads them. */
uint32_t got_flags;
uint32_t got_writes;
struct kvm_msr_entry got[512];

/* What KVM_RUN ends with: an error number, or 0. caller.py sets it. */
int run_ends_with;
static int vcpus;

static int msr_list(struct kvm_msr_list *list)
{
    uint32_t count = getenv("FAKE_SMBASE") ? 4 : 3, room = list->nmsrs;
    list->nmsrs = count;
    if (room < count) {
        errno = E2BIG;
        return -1;
    }
    for (uint32_t i = 0; i < 3; i++)
        list->indices[i] = 0x10 + i;
    if (count == 4)
        list->indices[3] = 0x9e;
    return 0;
}

static int msrs(struct kvm_msrs *msrs, int reading)
{
    uint32_t i;
    for (i = 0; i < msrs->nmsrs; i++) {
        uint32_t index = msrs->entries[i].index;
        if (index == 0x666 || (index == 0x9e && !getenv("FAKE_SMBASE")))
            break;
        if (reading)
            msrs->entries[i].data = 100 + index;
        else
            got[got_writes++] = msrs->entries[i];
    }
    return i;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    (void)fd;

    switch ((uint32_t)request) {
    case KVM_GET_MSR_INDEX_LIST:
        return msr_list(argument);
    case KVM_GET_MSRS:
        return msrs(argument, 1);
    case KVM_SET_MSRS:
        return msrs(argument, 0);
    case KVM_SET_VCPU_EVENTS:
        got_flags = ((struct kvm_vcpu_events *)argument)->flags;
        return 0;
    case KVM_CREATE_VCPU:
        return 100 + 2 * __atomic_fetch_add(&vcpus, 1, __ATOMIC_RELAXED);
    case KVM_GET_VCPU_EVENTS:
    case KVM_GET_MP_STATE:
    case KVM_SET_REGS:
    case KVM_SET_SREGS:
    case 0x4140aecd: /* KVM_SET_SREGS2 */
        return 0;
    case KVM_RUN:
        errno = run_ends_with;
        return run_ends_with ? -1 : 0;
    }
    errno = ENOTTY;
    return -1;
}
