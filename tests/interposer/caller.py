"""Run by ``fake.py`` with libraries preloaded: makes the calls on its standard input as QEMU would, and prints
what came of them. QEMU holds the request in an ``int``, so it arrives sign-extended."""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from typing import Any

GET_MSR_INDEX_LIST, GET_MSRS, SET_MSRS, SET_VCPU_EVENTS = 0xC004AE02, 0xC008AE88, 0x4008AE89, 0x4040AEA0
CREATE_VCPU, RUN, GET_VCPU_EVENTS, GET_MP_STATE = 0xAE41, 0xAE80, 0x8040AE9F, 0x8004AE98
SET_REGS, SET_SREGS, SET_SREGS2 = 0x4090AE82, 0x4138AE84, 0x4140AECD
FLAGS_AT, SMM_AT, LATCHED_INIT_AT, RIP_AT, CS_SELECTOR_AT = 20, 24, 27, 128, 12

process = ctypes.CDLL(None, use_errno=True)


def ioctl(request: int, buffer: ctypes.Array[ctypes.c_char] | None, fd: int = -1) -> int:
    """Return the result, or minus the error number."""
    extended = ctypes.c_ulong(ctypes.c_int(request).value)
    result = int(process.ioctl(fd, extended, buffer))
    return -ctypes.get_errno() if result < 0 else result


def of_vcpu(kind: str, fd: int = -1, *values: int) -> int:
    """Make one call on a vCPU (or make one) and return its result; it leaves its values as they are."""
    if kind == "create":
        return ioctl(CREATE_VCPU, None)
    if kind == "run":
        ctypes.c_int.in_dll(process, "run_ends_with").value = values[0]
        return ioctl(RUN, None, fd)
    made: dict[str, tuple[int, list[tuple[str, int]]]] = {
        "read": (GET_VCPU_EVENTS, [("=B", LATCHED_INIT_AT), ("=B", SMM_AT)]),
        "mp": (GET_MP_STATE, [("=I", 0)]),
        "write": (SET_VCPU_EVENTS, [("=I", FLAGS_AT)]),
        "rip": (SET_REGS, [("=Q", RIP_AT)]),
        "cs": (SET_SREGS, [("=H", CS_SELECTOR_AT)]),
        "cs2": (SET_SREGS2, [("=H", CS_SELECTOR_AT)]),
    }
    request, fields = made[kind]
    buffer = ctypes.create_string_buffer(512)
    for (code, at), value in zip(fields, values, strict=True):
        struct.pack_into(code, buffer, at, value)
    return ioctl(request, buffer, fd)


def call(kind: str, argument: Any) -> list[Any]:
    """Make one call; the answers are described in ``test_build.py``, those for a vCPU in ``test_log.py``."""
    if kind.startswith("vcpu-"):
        return [of_vcpu(kind.removeprefix("vcpu-"), *argument)]
    if kind == "list":
        buffer = ctypes.create_string_buffer(struct.pack("=I", argument) + bytes(4 * 16))
        result = ioctl(GET_MSR_INDEX_LIST, buffer)
        (count,) = struct.unpack_from("=I", buffer)
        return [result, count, list(struct.unpack_from(f"={count}I", buffer, 4)) if result >= 0 else []]
    if kind == "events":
        buffer = ctypes.create_string_buffer(64)
        struct.pack_into("=I", buffer, FLAGS_AT, argument)
        result = ioctl(SET_VCPU_EVENTS, buffer)
        got = ctypes.c_uint32.in_dll(process, "got_flags").value
        return [result, got, *struct.unpack_from("=I", buffer, FLAGS_AT)]
    entries = [(index, 0) for index in argument] if kind == "get" else argument
    packed = b"".join(struct.pack("=IIQ", index, 0, data) for index, data in entries)
    buffer = ctypes.create_string_buffer(struct.pack("=II", len(entries), 0) + packed)
    result = ioctl(GET_MSRS if kind == "get" else SET_MSRS, buffer)
    if kind == "get":
        return [result, [struct.unpack_from("=IIQ", buffer, 8 + 16 * i)[2] for i in range(len(entries))]]
    written = ctypes.c_uint32.in_dll(process, "got_writes").value
    raw = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(process, "got")), 16 * written)
    return [result, [[index, data] for index, _, data in struct.iter_unpack("=IIQ", raw)]]


if __name__ == "__main__":
    print(json.dumps([call(kind, argument) for kind, argument in json.load(sys.stdin)]))
