/* Makes a lost wake-up of an AP under KVM: preloaded into a QEMU whose last CPU nobody sends a SIPI.
 *
 * The AP sleeps in the kernel, in KVM_RUN, as one does whose SIPI was not noticed. Once somebody has read its registers
 * and it enters KVM_RUN again, it gets what the SIPI would have given it: CS:IP 1000:0000, where SeaBIOS's trampoline
 * is (BUILD_AP_BOOT_ADDR), and it may run.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/ioctl.h>

static __thread int has_run, was_read; /* a thread is a vCPU */

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!real)
        real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    request &= 0xffffffff; /* QEMU passes it as a sign-extended int */
    if (request == KVM_GET_REGS)
        was_read = has_run;
    if (request == KVM_RUN) {
        struct kvm_mp_state state;
        struct kvm_sregs sregs;
        struct kvm_regs regs;
        if (was_read && !real(fd, KVM_GET_MP_STATE, &state) && state.mp_state == KVM_MP_STATE_UNINITIALIZED &&
            !real(fd, KVM_GET_SREGS, &sregs) && !real(fd, KVM_GET_REGS, &regs)) {
            sregs.cs.selector = 0x1000;
            sregs.cs.base = 0x10000;
            regs.rip = 0;
            state.mp_state = KVM_MP_STATE_RUNNABLE;
            real(fd, KVM_SET_SREGS, &sregs);
            real(fd, KVM_SET_REGS, &regs);
            real(fd, KVM_SET_MP_STATE, &state);
        }
        was_read = 0;
        has_run = 1;
    }
    return real(fd, request, argument);
}
