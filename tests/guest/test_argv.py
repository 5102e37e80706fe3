from __future__ import annotations

from qstress.firmware.streams import Stream
from qstress.guest.argv import connection_arguments, guarded, guest_arguments
from qstress.model import Accel, LinuxGuest
from tests.samples import build, shape

DESCRIPTORS = (7, 8, 9), {Stream.DEBUG: 10}


def pairs(arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(arguments, arguments[1:], strict=False))


def test_the_guest_is_what_build_and_shape_say() -> None:
    arguments = guest_arguments(build(args=("-cpu", "max")), shape(16, Accel.KVM, args=("-usb",)))
    assert arguments[0] == "/usr/bin/qemu-system-x86_64"
    for pair in [("-accel", "kvm"), ("-machine", "pc"), ("-smp", "16"), ("-m", "32M"), ("-cpu", "max")]:
        assert pair in pairs(arguments)
    assert "-nodefaults" in arguments
    assert "-no-user-config" in arguments
    assert arguments[-1] == "-usb"
    assert "-bios" not in arguments


def test_a_kernel_under_tcg_has_one_thread_for_all_vcpus() -> None:
    linux = LinuxGuest("/k", "6.12")
    assert ("-accel", "tcg") in pairs(guest_arguments(build(), shape()))
    assert ("-accel", "tcg,thread=single") in pairs(guest_arguments(build(), shape(linux=linux)))
    assert ("-accel", "kvm") in pairs(guest_arguments(build(), shape(4, Accel.KVM, linux=linux)))


def test_the_users_arguments_come_last_so_that_they_win() -> None:
    arguments = guest_arguments(build(args=("-m", "64M")), shape())
    assert arguments.index("64M") > arguments.index("32M")


def test_the_firmware_is_what_was_chosen() -> None:
    assert ("-bios", "/tmp/x.bin") in pairs(guest_arguments(build(), shape(), firmware=("-bios", "/tmp/x.bin")))


def test_a_lost_ap_is_left_out_to_be_plugged_later() -> None:
    assert ("-smp", "3,maxcpus=4") in pairs(guest_arguments(build(), shape(4), lost_ap=True))


def test_every_channel_is_a_descriptor_and_the_guest_starts_paused() -> None:
    arguments = connection_arguments(*DESCRIPTORS, sandbox=True, paused=True)
    assert arguments[0] == "-S"
    assert ("-sandbox", "on") in pairs(arguments)
    assert [a for a in arguments if a.startswith("socket,")] == [
        "socket,id=qstress-control,fd=7",
        "socket,id=qstress-hammer0,fd=8",
        "socket,id=qstress-hammer1,fd=9",
    ]
    assert ("-add-fd", "fd=10,set=1") in pairs(arguments)
    assert not any("unix:" in a or "path=/tmp" in a for a in arguments)
    assert not {"-sandbox", "-S"} & set(connection_arguments(*DESCRIPTORS, sandbox=False, paused=False))


def test_the_first_serial_port_is_a_pipe_of_its_own() -> None:
    fds = {Stream.DEBUG: 10, Stream.SERIAL: 11}
    arguments = pairs(connection_arguments((7,), fds, sandbox=False, paused=False))
    assert ("-add-fd", "fd=11,set=2") in arguments
    assert ("-chardev", "file,id=qstress-serial,path=/dev/fdset/2,append=on") in arguments
    assert ("-serial", "chardev:qstress-serial") in arguments
    assert not {"-serial", "-device"} & set(connection_arguments((7,), sandbox=False, paused=False))


def test_the_trace_and_the_gdb_stub_have_descriptors_too() -> None:
    fds = {Stream.DEBUG: 10, Stream.TRACE: 11}
    arguments = connection_arguments((7, 8, 12), fds, debugged=True, sandbox=False, paused=True)
    assert ("-trace", "fw_cfg_select") in pairs(arguments)
    assert ("-D", "/dev/fd/11") in pairs(arguments)
    assert ("-chardev", "socket,id=qstress-hammer0,fd=8") in pairs(arguments)
    assert ("-chardev", "socket,id=qstress-gdb,fd=12") in pairs(arguments)
    assert ("-gdb", "chardev:qstress-gdb") in pairs(arguments)
    assert arguments.count("-mon") == 2
    assert "-gdb" not in connection_arguments((7, 8), fds, sandbox=False, paused=True)


def test_the_guard_ends_in_the_command_itself() -> None:
    arguments = guarded(("qemu", "a b", "$x"), parent_pid=42)
    assert arguments[:4] == ("setpriv", "--pdeathsig", "KILL", "--")
    assert arguments[-4:] == ("42", "qemu", "a b", "$x")
