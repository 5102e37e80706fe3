"""Stacks of real processes that stand in a function of known name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from qstress.guest.process import Process
from qstress.observe import stacks

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb here"),
]
#: Its second thread stands in planted_stall() for ever; the first one ends as it is told by a byte.
SOURCE = """
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
static volatile int stands;
void *planted_stall(void *none) { stands = 1; for (;;) pause(); return none; }
void planted_end(char how) { if (how == 'x') _exit(1); *(volatile int *)0 = 1; }
int main(void)
{
    pthread_t thread;
    char how = 0;
    pthread_create(&thread, 0, planted_stall, 0);
    while (!stands) sched_yield();
    if (write(1, "up\\n", 3) == 3 && read(0, &how, 1) == 1) planted_end(how);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("standing") / "standing"
    path.with_suffix(".c").write_text(SOURCE)
    subprocess.run(["cc", "-O0", "-o", path, path.with_suffix(".c"), "-pthread"], check=True)
    return str(path)


@contextmanager
def standing(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program, once its first thread waits for its byte."""
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


def test_the_living_tell_every_thread_here_and_in_the_kernel(program: str) -> None:
    with standing(program) as process:
        told = stacks.live_stacks(process.pid)
        assert "planted_stall" in told
        assert " main ()" in told
        assert f"thread {process.pid} standing: state S, waits in " in told
        assert process.poll() is None
    assert stacks.live_stacks(process.pid) == ""


def test_one_that_its_own_loader_started_is_named_too(program: str) -> None:
    loader = Path("/lib64/ld-linux-x86-64.so.2")
    if not loader.exists():
        pytest.skip(f"no {loader} here")
    with standing(str(loader), program) as process:
        assert "planted_stall" in stacks.live_stacks(process.pid)


def test_a_host_without_a_debugger_says_what_to_install(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with standing(program) as process:
        assert "install the Debian package gdb" in stacks.live_stacks(process.pid)
        with stacks.AttachedDebugger(process.pid) as debugger:
            assert "install the Debian package gdb" in debugger.stacks()


def test_a_debugger_that_takes_too_long_is_ended(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "DEBUGGER_S", 0.01)
    with standing(program) as process:
        assert "took more than 0.01 s and was ended" in stacks.live_stacks(process.pid)


@pytest.mark.parametrize(("how", "status", "where"), [(b"c", -signal.SIGSEGV, "planted_end"), (b"x", 1, "_exit")])
def test_one_that_is_watched_is_seen_as_it_ends_and_ends_as_it_would(
    program: str, how: bytes, status: int, where: str
) -> None:
    with standing(program) as process, stacks.AttachedDebugger(process.pid) as debugger:
        assert process.stdin is not None
        process.stdin.write(how)
        process.stdin.flush()
        told = debugger.stacks()
        assert where in told
        assert "planted_stall" in told
        assert process.wait() == status


def test_a_core_tells_what_all_threads_did(program: str) -> None:
    if not (pattern := stacks.CORE_PATTERN.read_text()).strip() or pattern.startswith(("/", "|")):
        pytest.skip(f"this host's core pattern is {pattern.strip()!r}: no core comes into a process's own folder")

    async def crashed() -> str:
        env = dict(os.environ)
        with Process(("sh", "-c", f"echo c | exec {program}"), env=env, pass_fds=()) as process:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(process.watch)
                await process.exited.wait()
            return stacks.crash_stacks(process.pid, program, process.folder)

    told = anyio.run(crashed)
    assert "planted_end" in told
    assert "planted_stall" in told


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("core", "and none came into QEMU's own folder"),
        ("/var/crash/%p", "this host's core pattern is /var/crash/%p"),
        ("|/usr/share/apport/apport %p", "hands it to /usr/share/apport/apport"),
    ],
)
def test_without_a_core_the_hosts_pattern_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, words: str
) -> None:
    monkeypatch.setattr(stacks, "CORE_PATTERN", tmp_path / "core_pattern")
    stacks.CORE_PATTERN.write_text(pattern + "\n")
    folder = tmp_path / "empty"
    folder.mkdir()
    assert words in stacks.crash_stacks(1, "true", folder)
