/* All there is of user land in a Linux guest of ours: it says what came of the kernel's bring-up, and stays.
 *
 * It speaks on port 0x402, QEMU's debug console: firmware is silent there once the kernel runs, and the kernel never
 * uses it, so its lines can be taken for nobody else's. Each begins with "qstress " and ends with LF:
 *
 *   qstress 1 release=6.12.117 present=0-3              first: version of these lines, and which CPUs the kernel knows
 *   qstress said <3>[   11.559] CPU3 failed to report alive state      a record of the kernel's log that may matter
 *   qstress round 0 up=13.240 online=0-2                after the boot: seconds since it, and the CPUs that are online
 *   qstress refused 3 errno=5                           CPU 3 did not come on again; its round follows, and is the last
 *   qstress round 1 up=14.010 online=0-3                all CPUs but the first were taken off and on again
 *   qstress end                                         that was all
 *
 * The kernel hands on words of its command line that it does not know: qstress_rounds=N asks for rounds,
 * qstress_fault=panic|reset|silent makes a fault instead (reset: in the first of a machine's boots only, by a mark in a
 * byte of CMOS that nobody uses and no reset clears).
 *
 * No libc: it is linked with nothing, so that a compiler makes the same few KB from it anywhere.
 */
#include <stddef.h>
#include <stdint.h>

#define PORT 0x402
#define CPUS "/sys/devices/system/cpu/"
#define MOST_SAID 32768 /* of the kernel's log, in bytes, each time */
#define LEVEL '4'       /* warnings, and what is worse */
#define MARK 0x7f       /* in CMOS */

enum { READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, PAUSE = 34, EXIT = 60, UNAME = 63, MKDIR = 83, SYSLOG = 103,
       MOUNT = 165, REBOOT = 169, IOPL = 172, CLOCK_GETTIME = 228 };

static long call(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static void out_byte(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

static uint8_t in_byte(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static size_t length(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

static int begins(const char *text, const char *with)
{
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

static int holds(const char *text, const char *end, const char *word)
{
    for (size_t n = length(word); text + n <= end; text++)
        if (begins(text, word))
            return 1;
    return 0;
}

static void say_bytes(const char *text, size_t size)
{
    __asm__ volatile("rep outsb" : "+S"(text), "+c"(size) : "d"(PORT) : "memory"); /* KVM: one exit for many */
}

static void say(const char *text) { say_bytes(text, length(text)); }

static char *digits(char *end, unsigned long number, int at_least)
{
    *--end = 0;
    for (int n = 0; number || n < at_least; n++, number /= 10)
        *--end = '0' + number % 10;
    return end;
}

static void say_number(unsigned long number, int at_least)
{
    char room[24];
    say(digits(room + sizeof room, number, at_least));
}

/* Some of what sysfs says of CPUs. */
struct line { char text[4096]; };
static struct line present, online;

/* Read the first line of a file, without its end; empty where it cannot be read. */
static const char *read_line(const char *path, struct line *into)
{
    char *text = into->text;
    long fd = call(OPEN, (long)path, 0, 0, 0, 0);
    long n = fd < 0 ? 0 : call(READ, fd, (long)text, sizeof into->text - 1, 0, 0);
    call(CLOSE, fd, 0, 0, 0, 0);
    text[n > 0 ? n : 0] = 0;
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = 0;
    return text;
}

/* The kernel's log since the last time, as far as it may matter. */
static void say_log(void)
{
    static char log[1 << 20];
    long size = call(SYSLOG, 4 /* read and clear */, (long)log, sizeof log, 0, 0);
    size_t said = 0;
    for (const char *line = log, *end; line < log + size; line = end + 1) {
        for (end = line; end < log + size && *end != '\n'; end++)
            ;
        int matters = line[0] == '<' && line[2] == '>' && line[1] <= LEVEL;
        if ((matters || holds(line, end, "smp: ")) && (said += end - line) < MOST_SAID) {
            say("qstress said ");
            say_bytes(line, end - line);
            say("\n");
        }
    }
}

static void say_round(unsigned long number)
{
    struct { long s, ns; } now = {0, 0};
    call(CLOCK_GETTIME, 7 /* since the boot */, (long)&now, 0, 0, 0);
    say_log();
    say("qstress round ");
    say_number(number, 1);
    say(" up=");
    say_number(now.s, 1);
    say(".");
    say_number(now.ns / 1000000, 3);
    say(" online=");
    say(read_line(CPUS "online", &online));
    say("\n");
}

/* Take CPU *index* off or on; return an error number, 0 for none, -1 where there is no such CPU to switch. */
static long turn(unsigned long index, const char *to)
{
    static char path[] = CPUS "cpu################/online";
    char room[24];
    char *at = path + sizeof CPUS - 1 + 3;
    for (const char *from = digits(room + sizeof room, index, 1); *from;)
        *at++ = *from++;
    for (const char *from = "/online"; (*at++ = *from++);)
        ;
    long fd = call(OPEN, (long)path, 1 /* to write */, 0, 0, 0);
    if (fd < 0)
        return -1;
    long done = call(WRITE, fd, (long)to, 1, 0, 0);
    call(CLOSE, fd, 0, 0, 0, 0);
    return done < 0 ? -done : 0;
}

/* One round; return whether every CPU came on again. */
static int round_trip(unsigned long number)
{
    int all = 1;
    for (unsigned long cpu = 1; turn(cpu, "0") >= 0; cpu++)
        ;
    for (unsigned long cpu = 1; ; cpu++) {
        long error = turn(cpu, "1");
        if (error < 0)
            break;
        if (error) {
            say("qstress refused ");
            say_number(cpu, 1);
            say(" errno=");
            say_number(error, 1);
            say("\n");
            all = 0;
        }
    }
    say_round(number);
    return all;
}

static void stay(void)
{
    for (;;)
        call(PAUSE, 0, 0, 0, 0, 0);
}

static void reset_once(void)
{
    out_byte(0x70, MARK);
    if (in_byte(0x71) == 'q')
        return;
    out_byte(0x70, MARK);
    out_byte(0x71, 'q');
    call(REBOOT, 0xfee1dead, 672274793, 0x01234567 /* restart */, 0, 0);
}

static void fail(const char *what)
{
    call(WRITE, 2, (long)what, length(what), 0, 0); /* the kernel's console */
    stay();
}

__attribute__((used)) void begin(long *stack)
{
    unsigned long rounds = 0;
    char **environment = (char **)(stack + 1 + stack[0] + 1);
    if (call(IOPL, 3, 0, 0, 0, 0))
        fail("qstress-init: this kernel lets no program at I/O ports (CONFIG_X86_IOPL_IOPERM, lockdown)\n");
    for (; *environment; environment++) {
        if (begins(*environment, "qstress_rounds="))
            for (const char *digit = *environment + 15; *digit >= '0' && *digit <= '9'; digit++)
                rounds = 10 * rounds + (*digit - '0');
        if (begins(*environment, "qstress_fault=panic"))
            call(EXIT, 1, 0, 0, 0, 0);
        if (begins(*environment, "qstress_fault=reset"))
            reset_once();
        if (begins(*environment, "qstress_fault=silent"))
            stay();
    }
    static char name[6 * 65];
    call(MKDIR, (long)"/sys", 0755, 0, 0, 0);
    if (call(MOUNT, (long)"sys", (long)"/sys", (long)"sysfs", 0, 0))
        fail("qstress-init: sysfs cannot be mounted\n");
    call(UNAME, (long)name, 0, 0, 0, 0);
    say("\nqstress 1 release=");
    say(name + 2 * 65);
    say(" present=");
    say(read_line(CPUS "present", &present));
    say("\n");
    say_round(0);
    if (begins(online.text, present.text) && begins(present.text, online.text))
        for (unsigned long number = 1; number <= rounds && round_trip(number); number++)
            ;
    say("qstress end\n");
    stay();
}

__asm__(".globl _start\n_start:\n    mov %rsp, %rdi\n    and $-16, %rsp\n    call begin\n");
