"""``qstress explain --qmp SOCK`` and ``--libvirt DOMAIN``: look at a living guest, and leave it as it was.

First what disturbs nothing: run state, vCPU threads and their CPU time, from QEMU 10.0 on the count of exits of each
vCPU (7.2 asks the vCPU threads for it, which wakes them). Only when asked to, two register dumps and the code at the
boot CPU's EIP, and the judgement of the same kind of picture as a pasted text gives. Nothing is stopped or resumed.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

import anyio

from qstress.distribution import refusal_hint
from qstress.errors import ConfigError, GuestError, RigError
from qstress.guest.qmp import CommandRefused, Control
from qstress.guest.virsh import VirshMonitor
from qstress.model import Confidence, ThreadUsage
from qstress.observe import usage
from qstress.registers import WAIT_LOOP_BYTES, parse_text, parse_xp, wait_loop_count_address
from qstress.verdict.explain.clean import cleaned
from qstress.verdict.explain.decide import decide
from qstress.verdict.explain.picture import DumpVerdict, Explanation, Picture, Words
from qstress.verdict.explain.read import read_picture
from qstress.verdict.explain.thread_times import explain_without_dump

#: How long the monitor may take for its greeting and for a reply: 255 vCPUs under KVM took 9.4 s (docs/architecture.md,
#: "Two witnesses").
GREETING_S, REPLY_S = 10.0, 30.0
#: Time between two looks: long enough for a healthy wait for APs to end, and for a spinning thread to show.
GAP_S = 1.0


#: What can be asked: QEMU's own socket, or libvirt, which holds it.
Monitor: TypeAlias = Control | VirshMonitor


@dataclass(frozen=True, slots=True)
class QomVcpu:
    """A vCPU as QEMU numbers it, the thread that runs it, and its place in QEMU's object tree."""

    index: int
    thread: int
    path: str


async def explain_live(path: str, *, dump: bool, gap_s: float = GAP_S) -> Explanation:
    """Return what the guest behind the QMP socket *path* shows.

    :param dump: whether to dump its registers as well. Under KVM that lets the kernel process a pending INIT or SIPI,
        so it can wake a vCPU that missed its wake-up (docs/background/qemu.md, "What HLT says").
    :raises ConfigError: there is no such socket.
    :raises RigError: no greeting comes: it speaks no QMP, or another client holds it (one is served at a time).
    """
    async with qmp_monitor(path) as (control, peer):
        return await explain_monitor(control, peer, gap_s, dump=dump)


@asynccontextmanager
async def qmp_monitor(path: str) -> AsyncIterator[tuple[Control, int]]:
    """Connect to the QMP socket *path*; yield its monitor, and the process at its other end (0: not of this host).

    :raises ConfigError: there is no such socket.
    :raises RigError: no greeting comes: it speaks no QMP, or another client holds it (one is served at a time).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            words = error.strerror or error
            raise ConfigError(f"{path}: no QMP socket can be reached there: {words}{refusal_hint(words)}") from error
        peer = _peer(connection)
        connection.setblocking(False)
        control = Control(lambda _event: None)
        try:
            await control.connect(connection, timeout_s=GREETING_S)
        except RigError as error:
            hint = "a QMP socket serves one client at a time: is another connected?"
            raise RigError(f"{path}: {error} ({hint})", reason=error.reason) from error
        try:
            yield control, peer
        finally:
            await control.close()


async def explain_domain(domain: str, uri: str | None, *, dump: bool, gap_s: float = GAP_S) -> Explanation:
    """Return what the guest of a libvirt domain shows, as :func:`explain_live` does.

    :param uri: of the libvirt, as ``virsh --connect`` takes it; None: virsh's own choice.
    :raises ConfigError: there is no such domain, or it does not run.
    :raises RigError: there is no virsh, or libvirt cannot be reached.
    """
    return await explain_monitor(VirshMonitor(domain, uri), 0, gap_s, dump=dump)


async def explain_monitor(control: Monitor, peer: int, gap_s: float, *, dump: bool) -> Explanation:
    """Return what the guest behind *control* shows; *peer*: the process at the other end, 0 where that is not known."""
    try:
        return await _look(control, peer, gap_s, dump=dump)
    except GuestError as error:
        return await _silent(control, peer, error)


async def _look(control: Monitor, peer: int, gap_s: float, *, dump: bool) -> Explanation:
    status = await _ask(control, "query-status", "status")
    vcpus = await vcpus_of(control)
    pid, threads = process_behind(peer, {vcpu.index: vcpu.thread for vcpu in vcpus})
    before, exits = usage.sample(pid, threads), await exits_of(control, vcpus)
    texts = [await _hmp(control, "info registers -a")] if dump else []
    await anyio.sleep(gap_s)
    used = usage.usage_between(pid, before, usage.sample(pid, threads))
    notes = _notes(used, exits, await exits_of(control, vcpus))
    if not pid:
        neither = f"neither '{usage.process_name(peer)}', at the socket's other end, nor any" if peer else "no"
        notes.append(
            f"the CPU time of the vCPU threads is not known: {neither} QEMU in this host's /proc has these threads"
        )
    if not dump:
        said = explain_without_dump(status, tuple(threads), used)
    else:
        texts += [await _hmp(control, "info registers -a")]
        code = await _code(control, texts[0])
        looks = [read_picture(cleaned(text.encode())) for text in texts]  # each its own: equal dumps are two looks here
        memory = read_picture(cleaned("".join(code).encode())).memory
        dumps = tuple(dump for look in looks for dump in look.dumps)
        said = decide(Picture(dumps, Words(status=status), memory=memory, usage=used))
    return replace(said, because=(*said.because, *notes))


async def vcpus_of(control: Monitor) -> list[QomVcpu]:
    """Return the guest's vCPUs; disturbs none (``query-cpus-fast``).

    :raises GuestError: no answer, or a refusal.
    """
    reply = await control.execute("query-cpus-fast", timeout_s=REPLY_S)
    assert isinstance(reply, list)
    return [QomVcpu(int(cpu["cpu-index"]), int(cpu["thread-id"]), str(cpu["qom-path"])) for cpu in reply]


async def exits_of(control: Monitor, vcpus: list[QomVcpu]) -> dict[int, int]:
    """Return how often each vCPU left the guest so far; empty under TCG, before QEMU 10.0, or where QEMU refuses."""
    if int(await _ask(control, "query-version", "qemu", "major")) < 10:
        return {}
    wanted = {"target": "vcpu", "providers": [{"provider": "kvm", "names": ["exits"]}]}
    try:
        reply = await control.execute("query-stats", wanted, timeout_s=REPLY_S)
    except CommandRefused:
        return {}
    assert isinstance(reply, list)
    by_path = {entry["qom-path"]: entry["stats"][0]["value"] for entry in reply if entry.get("stats")}
    return {vcpu.index: int(by_path[vcpu.path]) for vcpu in vcpus if vcpu.path in by_path}


async def _code(control: Monitor, dump: str) -> list[str]:
    """Return what ``xp`` prints around the boot CPU's EIP, and the count of CPUs if that is SeaBIOS's wait for APs."""
    boot_cpu = next((vcpu for vcpu in parse_text(dump).vcpus if vcpu.index == 0), None)
    if boot_cpu is None or boot_cpu.cs_base or boot_cpu.eip >= 1 << 32:
        return []
    start = max(0, boot_cpu.eip - 2 * WAIT_LOOP_BYTES)  # it may have gone on a few bytes by the second dump
    code = await _hmp(control, f"xp /{4 * WAIT_LOOP_BYTES}xb {start:#x}")
    counter = wait_loop_count_address(parse_xp(code.partition("\n")[2]), start, boot_cpu.eip)
    return [code] if counter is None else [code, await _hmp(control, f"xp /1xw {counter:#x}")]


async def _hmp(control: Monitor, line: str) -> str:
    """Return what HMP printed, after the prompt and the command: so it is seen that each look is one of its own."""
    return f"(qemu) {line}\n{await control.hmp(line, timeout_s=REPLY_S)}\n"


async def _ask(control: Monitor, command: str, *keys: str) -> str:
    """Run a command and return one value of its reply, by its *keys* from the outside in."""
    value = await control.execute(command, timeout_s=REPLY_S)
    for key in keys:
        assert isinstance(value, dict)
        value = value[key]
    return str(value)


def _notes(used: tuple[ThreadUsage, ...], before: Mapping[int, int], after: Mapping[int, int]) -> list[str]:
    """Return what was measured between two looks, a line for CPU time and one for exits, of up to 16 vCPUs."""
    notes = []
    if used:
        shares = ", ".join(f"CPU#{thread.index} {100 * thread.share:.0f} %" for thread in used[:16])
        notes.append(f"CPU time of the vCPU threads in {used[0].wall_s:.1f} s: {shares}{', …' * (len(used) > 16)}")
    grown = {index: after[index] - before[index] for index in before.keys() & after.keys()}
    if grown:
        counts = ", ".join(f"CPU#{index} {grown[index]}" for index in sorted(grown)[:16])
        notes.append(f"exits in that time: {counts}{', …' * (len(grown) > 16)}")
    return notes


async def _silent(control: Monitor, peer: int, error: GuestError) -> Explanation:
    """Return what a monitor that does not answer shows: no more than that, and what else of QEMU is alive."""
    because = [f"QEMU's monitor gave no answer: {error}"]
    with suppress(GuestError):
        await control.execute("query-yank", timeout_s=GREETING_S, oob=True)
        because.append(
            "it answers out-of-band commands: its main loop is blocked, by a vCPU thread perhaps that does not react"
        )
    if state := usage.process_state(peer):
        who = f"'{usage.process_name(peer)}', the process at the socket's other end,"
        because.append(f"{who} is in state {state}" + (": stopped" if state in "Tt" else ""))
    asked = ("each thread's state and wait channel (/proc/PID/task/*/stat, wchan)",)
    return Explanation(DumpVerdict.INCONCLUSIVE, Confidence.INCONCLUSIVE, (), tuple(because), asked)


def process_behind(peer: int, threads: dict[int, int]) -> tuple[int, dict[int, int]]:
    """Return QEMU's process and its vCPU threads as this host numbers them: the peer of the socket, or, where that is a
    proxy (socat, virt-qemu-qmp-proxy), the QEMU that has the *threads*; 0 where none is found, as for another host's.
    """
    inside = usage.own_numbers(peer)
    if all(thread in inside for thread in threads.values()):
        return peer, {index: inside[thread] for index, thread in threads.items()}
    found = usage.process_of(threads.values())
    return (found if re.search("qemu|kvm", usage.process_name(found)) else 0), threads


def _peer(connection: socket.socket) -> int:
    """The process that listens at the other end, as the kernel knows it; 0 where it is in no namespace of ours."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])
