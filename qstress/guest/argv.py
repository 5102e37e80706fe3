"""The QEMU command line of a guest: values in, arguments out.

Split in two, because a reproducer wants the first without the second: what defines the guest, and what connects us.

Every channel is an inherited descriptor (``-chardev socket,fd=N``, ``-add-fd``): there is no path for a socket, so
nothing is left on disk whatever kills us, and nobody else can connect. What the guest prints goes to pipes, written
through file chardevs and not to socketpairs, on which 279 unread one-byte writes block QEMU under its big lock
(docs/architecture.md, "Started paused, console on a pipe").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from qstress.firmware.streams import Stream
from qstress.model import Accel, Build, Shape

#: The port SeaBIOS (and smpscan) print on; QEMU's isa-debugcon.
DEBUG_PORT = 0x402
_DEVICES = {
    Stream.DEBUG: ("qstress-console", "-device", f"isa-debugcon,iobase={DEBUG_PORT:#x},chardev={{chardev}}"),
    Stream.SERIAL: ("qstress-serial", "-serial", "chardev:{chardev}"),
}


def guest_arguments(
    build: Build, shape: Shape, *, firmware: Sequence[str] = (), lost_ap: bool = False
) -> tuple[str, ...]:
    """Return binary and arguments that define the guest, without monitors and console.

    :param firmware: the arguments that choose it (``Firmware.arguments``).
    :param lost_ap: leave out the last vCPU, to be hot-plugged later (:mod:`qstress.trial.inject`).
    """
    smp = f"{shape.smp - 1},maxcpus={shape.smp}" if lost_ap else str(shape.smp)
    memory_mib = shape.memory_bytes // (1 << 20)
    return (
        build.binary,
        *("-accel", _accelerator(shape)),
        *("-machine", shape.machine),
        *("-smp", smp),
        *("-m", f"{memory_mib}M"),
        *firmware,
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *build.args,
        *shape.args,
    )


def _accelerator(shape: Shape) -> str:
    """A kernel patches its code while all its CPUs run, and TCG before QEMU 8.1 can then run a breakpoint that has
    already been taken back (docs/background/emulated-hosts.md, "Traps of emulated hosts"): 5 of 208 hammered guests
    panicked with ``Oops: int3`` (7.2.22, Linux 6.12). With one thread for all vCPUs it cannot, and a boot takes no
    longer: most of it runs on one."""
    if shape.accel is Accel.KVM:
        return "kvm"
    return "tcg" if shape.linux is None else "tcg,thread=single"


def connection_arguments(
    monitor_fds: Sequence[int],
    stream_fds: Mapping[Stream, int] = MappingProxyType({}),
    *,
    debugged: bool = False,
    sandbox: bool,
    paused: bool,
) -> tuple[str, ...]:
    """Return the arguments that connect monitors and what the guest prints on to descriptors, as numbered in QEMU.

    :param monitor_fds: the control monitor's, then one a hammer.
    :param stream_fds: a pipe's writing end for each stream that the guest is to have.
    :param debugged: the last of *monitor_fds* is the gdb stub's.
    """
    arguments = ["-S"] if paused else []
    if sandbox:
        arguments += ["-sandbox", "on"]
    hammers = len(monitor_fds) - 1 - debugged
    names = ["qstress-control", *(f"qstress-hammer{hammer}" for hammer in range(hammers))] + ["qstress-gdb"] * debugged
    for name, fd in zip(names, monitor_fds, strict=True):
        use = ("-gdb", f"chardev:{name}") if name == "qstress-gdb" else ("-mon", f"chardev={name},mode=control")
        arguments += ["-chardev", f"socket,id={name},fd={fd}", *use]
    for number, (stream, fd) in enumerate(stream_fds.items(), 1):
        if stream is Stream.TRACE:
            arguments += ["-trace", "fw_cfg_select", "-D", f"/dev/fd/{fd}"]
            continue
        chardev, option, device = _DEVICES[stream]
        arguments += [
            *("-add-fd", f"fd={fd},set={number}"),
            *("-chardev", f"file,id={chardev},path=/dev/fdset/{number},append=on"),
            *(option, device.format(chardev=chardev)),
        ]
    return tuple(arguments)


def guarded(argv: Sequence[str], *, parent_pid: int, max_fds: int = 8192, core_bytes: int = 0) -> tuple[str, ...]:
    """Wrap *argv* so that the process dies with its parent, has a descriptor limit and may leave a core, without
    ``preexec_fn``.

    ``setpriv`` sets the parent-death signal; the shell then checks that the parent was not already gone before that
    (without the check 159 of 200 were orphaned, with it 0 of 200: docs/architecture.md, "Starting QEMU") and becomes
    QEMU by ``exec``.

    :param core_bytes: how large a core may be, as far as the host allows one.

    Source: POSIX, "ulimit": both ``-c`` and ``-f`` count blocks of 512 bytes.
    """
    core = f"ulimit -c {core_bytes // 512} 2>/dev/null; " if core_bytes else ""
    shell = f'ulimit -n {max_fds} 2>/dev/null; {core}test "$PPID" = "$0" && exec "$@"'
    return ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", shell, str(parent_pid), *argv)
