"""The live look against a scripted QEMU; at real guests it is tested in tests/live."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from qstress.errors import ConfigError, RigError
from qstress.host import explain as live
from qstress.host.explain import explain_live
from tests.verdict.explain_cases.bringup import LOOP
from tests.verdict.explain_cases.dumps import monitor, parked, reset, waiting

CPUS = [{"cpu-index": i, "thread-id": os.getpid(), "qom-path": f"/machine/unattached/device[{i}]"} for i in range(3)]
BOOT_CPU_EIP = 0xEE2FB
LOST = monitor(waiting(BOOT_CPU_EIP, expects=3), parked(1), reset(2))


class Script:
    """Answers QMP commands by name, None for silence; ``hmp`` holds what HMP lines print, by their first word."""

    def __init__(self, answers: Mapping[str, object], hmp: Mapping[str, str]) -> None:
        self.answers = {"query-cpus-fast": CPUS, "query-yank": [], **answers}
        self.hmp = hmp
        self.heard: list[str] = []

    async def serve(self, stream: SocketStream) -> None:
        version = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}
        await self._say(stream, {"QMP": {"version": version, "capabilities": ["oob"]}})
        text = ""
        async with stream:
            while True:
                try:
                    text += (await stream.receive()).decode()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                while text:
                    message, end = json.JSONDecoder().raw_decode(text)
                    text = text[end:].lstrip()
                    await self._answer(stream, message)

    async def _answer(self, stream: SocketStream, message: dict[str, object]) -> None:
        command = str(message.get("execute", message.get("exec-oob")))
        value = self.answers.get(command, {})
        if command == "human-monitor-command":
            arguments = message["arguments"]
            assert isinstance(arguments, dict)
            command = str(arguments["command-line"])
            value = self.hmp[command.split()[0]]
        self.heard.append(command)
        if value is not None:
            await self._say(stream, {"return": value, "id": message.get("id")})

    async def _say(self, stream: SocketStream, message: dict[str, object]) -> None:
        await stream.send(json.dumps(message).encode() + b"\r\n")


@asynccontextmanager
async def qemu(
    folder: Path, status: str | None, hmp: Mapping[str, str] | None = None, **answers: object
) -> AsyncIterator[tuple[str, Script]]:
    state = None if status is None else {"status": status, "running": status == "running"}
    named = {name.replace("_", "-"): value for name, value in answers.items()}
    script = Script({"query-status": state, "query-version": {"qemu": {"major": 7}}, **named}, hmp or {})
    path = str(folder / "q")
    listener = await anyio.create_unix_listener(path)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, script.serve)
        yield path, script
        tasks.cancel_scope.cancel()


def memory() -> str:
    """What ``xp`` prints from 78 bytes before the boot CPU's EIP on: SeaBIOS's wait loop from ee2e1 on."""
    start = BOOT_CPU_EIP - 78
    code = b"\x90" * (0xEE2E1 - start) + LOOP + b"\x90" * 99
    rows = (code[i : i + 8] for i in range(0, 156, 8))
    return "".join(f"{start + 8 * i:016x}: {' '.join(f'0x{b:02x}' for b in row)}\r\n" for i, row in enumerate(rows))


async def test_dumps_are_asked_for_last_and_only_when_told(tmp_path: Path) -> None:
    async with qemu(tmp_path, "running") as (path, script):
        answer = await explain_live(path, dump=False, gap_s=0.01)
    assert script.heard == ["qmp_capabilities", "query-status", "query-cpus-fast", "query-version", "query-version"]
    assert [look.index for look in answer.vcpus] == [0, 1, 2]
    assert answer.verdict in ("busy", "inconclusive")


async def test_a_lost_ap_by_two_dumps_and_the_code(tmp_path: Path) -> None:
    async with qemu(tmp_path, "running", {"info": LOST, "xp": memory()}) as (path, script):
        answer = await explain_live(path, dump=True, gap_s=0.01)
    asked = [line for line in script.heard if " " in line]
    assert asked == ["info registers -a", "info registers -a", f"xp /156xb {BOOT_CPU_EIP - 78:#x}", "xp /1xw 0xf5240"]
    assert answer.verdict == "lost-init"
    assert any("by its code: it expects 3 CPUs" in reason for reason in answer.because)
    assert "each time" in answer.because[0]  # two looks, however alike: nobody pasted them
    assert any("CPU#2: its thread runs" in reason for reason in answer.because)  # it is the thread of this test
    assert answer.confidence == "likely"


@pytest.fixture
def other_qemu(tmp_path: Path) -> Iterator[int]:
    """A process that is called QEMU, and does nothing."""
    program = tmp_path / "qemu-system-x"
    program.symlink_to(shutil.which("sleep") or "")
    process = subprocess.Popen([program, "1000"])
    yield process.pid
    process.kill()
    process.wait()


async def test_behind_a_proxy_qemu_is_found_by_its_threads(tmp_path: Path, other_qemu: int) -> None:
    cpus = [{**cpu, "thread-id": other_qemu} for cpu in CPUS]
    async with qemu(tmp_path, "running", query_cpus_fast=cpus) as (path, _):
        answer = await explain_live(path, dump=False, gap_s=0.01)
    assert any(reason.startswith("CPU time of the vCPU threads") for reason in answer.because)
    assert not any("not known" in reason for reason in answer.because)


@pytest.mark.parametrize("thread", [2**22 - 1, os.getppid()])
async def test_a_lost_witness_is_told(tmp_path: Path, thread: int) -> None:
    cpus = [{**cpu, "thread-id": thread} for cpu in CPUS]
    async with qemu(tmp_path, "running", {"info": LOST, "xp": memory()}, query_cpus_fast=cpus) as (path, _):
        for dump in (False, True):
            answer = await explain_live(path, dump=dump, gap_s=0.01)
            assert any("CPU time of the vCPU threads is not known" in reason for reason in answer.because)
    assert answer.verdict == "lost-init"


async def test_exits_are_counted_where_that_wakes_no_vcpu(tmp_path: Path) -> None:
    stats = [{"provider": "kvm", "qom-path": cpu["qom-path"], "stats": [{"name": "exits", "value": 7}]} for cpu in CPUS]
    new = {"qemu": {"major": 10}}
    async with qemu(tmp_path, "running", query_version=new, query_stats=stats) as (path, script):
        answer = await explain_live(path, dump=False, gap_s=0.01)
    assert script.heard.count("query-stats") == 2
    assert "exits in that time: CPU#0 0, CPU#1 0, CPU#2 0" in answer.because


async def test_a_silent_monitor_is_told_and_nothing_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REPLY_S", 0.05)
    async with qemu(tmp_path, None) as (path, _):
        answer = await explain_live(path, dump=True, gap_s=0.01)
    assert (answer.verdict, answer.confidence) == ("inconclusive", "inconclusive")
    assert any("out-of-band" in reason for reason in answer.because)


async def test_no_socket_is_the_users_mistake(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / ("x" * 200)):
        with pytest.raises(ConfigError, match="no QMP socket"):
            await explain_live(str(path), dump=False)


async def test_who_does_not_greet_is_no_qemu_or_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "GREETING_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "q"))
        listener.listen()
        with pytest.raises(RigError, match="is another connected"):
            await explain_live(str(tmp_path / "q"), dump=False)
