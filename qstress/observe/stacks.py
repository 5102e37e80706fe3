"""What every thread of a QEMU is doing, in QEMU and in the kernel: of one that lives, or that has just crashed.

A stall or a hang is looked at once its verdict stands, for the debugger stops the process. Of a crash the core tells
what the threads did. The host's core pattern stays as it is: a relative one makes the kernel write into QEMU's own
working directory, one that hands cores to systemd can be asked by ``coredumpctl`` (core(5)), and a finding that repeats
is run again below a debugger (:class:`AttachedDebugger`). Debug symbols are used where the host has them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from qstress.observe.usage import process_state, threads_of

#: How long a debugger may take; the symbols of a whole QEMU take it a second or two.
DEBUGGER_S = 30.0
#: More of one look than this is not kept: 255 vCPUs have some 30 lines each.
KEPT_CHARACTERS = 256 * 1024
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
_QUIET = ("-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set pagination off")
_ALL = ("-ex", "thread apply all -ascending backtrace")
_ATTACHED = "qstress: attached"
#: Go on until a crash, and not for a signal that QEMU's threads send each other, or until an exit; then tell, and let
#: it have its end. A breakpoint is a SIGTRAP, too, and must not end it.
_WATCH = f"""\
handle all nostop noprint pass
handle SIGSEGV SIGABRT SIGBUS SIGILL SIGFPE SIGTRAP stop print pass
break _exit
commands
{_ALL[1]}
handle SIGTRAP nopass
continue
end
echo {_ATTACHED}\\n
continue
{_ALL[1]}
continue
"""
_NONE = "no debugger on this host: install the Debian package gdb, and qemu-system-x86-dbgsym for the names in QEMU"
#: What gdb says of its own work.
_CHATTER = re.compile(
    r"^(?:\[New .*|\[Thread .*|Using host libthread_db .*|\[Inferior .*|warning: .*|Core was .*|\[Current thread .*"
    r"|\d+\t.*|0x[0-9a-f]+ in .*|Signal +Stop.*|SIG\w+ +(?:Yes|No).*|Continuing\..*|Breakpoint .*"
    r"|.*: Error in sourced command file:|The program .*|add symbol table .*|No symbol table is loaded.*)\n",
    re.MULTILINE,
)


def live_stacks(pid: int) -> str:
    """Return the stacks of all threads of the living process *pid*, as far as this host tells; '' when it is gone."""
    if process_state(pid) in ("", "Z"):
        return ""
    gdb, elfutils = shutil.which("gdb"), shutil.which("eu-stack")
    if gdb:
        told = _told([gdb, *_QUIET, "-p", str(pid), *_program(pid), *_ALL])
    elif elfutils:
        told = _told([elfutils, "-p", str(pid)])
    else:
        told = _NONE
    return f"{told}\n\nIn the kernel:\n{_kernel_stacks(pid)}"


def crash_stacks(pid: int, binary: str, folder: Path) -> str:
    """Return the stacks of the threads of a QEMU that was killed by a signal, from its core, or why there is none.

    :param folder: its working directory, where nothing but a core is ever written.
    """
    pattern = _text(CORE_PATTERN).strip()
    core = folder / "core.from-systemd"
    if pattern.startswith("|"):
        if "systemd-coredump" not in pattern or not (ask := shutil.which("coredumpctl")):
            return f"no core: this host's core pattern hands it to {pattern[1:].split(' ')[0]}\n"
        _told([ask, "--quiet", "--output", str(core), "dump", str(pid)])
    cores = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_mtime)
    if not cores:
        return f"no core: this host's core pattern is {pattern or 'empty'}, and none came into QEMU's own folder\n"
    if not (gdb := shutil.which("gdb")):
        return _NONE + "\n"
    return _told([gdb, *_QUIET, binary, str(cores[-1]), *_ALL]) + "\n"


class AttachedDebugger:
    """gdb on a living process, which goes on until it crashes or exits, and then does that; a context manager.

    It is for a process that cannot leave a core: in a sandbox there is no place for one. Where there is no gdb, or it
    may not attach, :meth:`stacks` says so.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._popen: subprocess.Popen[bytes] | None = None
        self._said = b""

    def __enter__(self) -> Self:
        if (gdb := shutil.which("gdb")) is None:
            return self
        script = os.memfd_create("gdb-script")  # gdb reads a script from a file alone
        try:
            os.write(script, _WATCH.encode())
            self._popen = subprocess.Popen(
                [gdb, *_QUIET, "-p", str(self._pid), *_program(self._pid), "-x", f"/proc/self/fd/{script}"],
                pass_fds=(script,), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(script)
        assert self._popen.stdout is not None
        for line in self._popen.stdout:  # a gdb that may not attach says why and ends
            self._said += line
            if _ATTACHED.encode() in line:
                break
        return self

    def __exit__(self, *error: object) -> None:
        if self._popen is not None:
            self._popen.kill()
            self._popen.communicate()

    def stacks(self) -> str:
        """Wait for the end of the process, and return the stacks that its threads had right before it."""
        if self._popen is None:
            return _NONE + "\n"
        try:
            said, _ = self._popen.communicate(timeout=DEBUGGER_S)
        except subprocess.TimeoutExpired:
            return f"gdb saw no crash within {DEBUGGER_S:g} s\n"
        said = self._said + said
        return _kept(said.rpartition(_ATTACHED.encode())[2]) + "\n"  # all of it where it may not attach


def _program(pid: int) -> list[str]:
    """Return what gdb must be told of a program that was started by its own dynamic loader, which it takes for it."""
    try:
        if not os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("ld-"):
            return []
    except OSError:
        return []
    for mapping in map(str.split, _text(Path(f"/proc/{pid}/maps")).splitlines()):
        start, offset, path = mapping[0].partition("-")[0], int(mapping[2], 16), mapping[-1]
        if path.startswith("/") and offset == 0 and ".so" not in os.path.basename(path):
            return ["-ex", f"add-symbol-file {path} -o 0x{start}"]
    return []


def _kernel_stacks(pid: int) -> str:
    """Return a paragraph for each thread: its state, what it waits for in the kernel, and how it came there."""
    lines = []
    for tid in threads_of(pid).values():
        task = Path(f"/proc/{pid}/task/{tid}")
        state = _text(task / "stat").rpartition(") ")[2][:1]
        waits = _text(task / "wchan").strip()
        lines.append(f"thread {tid} {_text(task / 'comm').strip()}: state {state}, waits in {waits or '?'}")
        stack = _text(task / "stack")
        lines += [f"    {line.removeprefix('[<0>] ')}" for line in stack.splitlines()]
    return "\n".join(lines) + "\n"


def _told(words: Sequence[str]) -> str:
    """Return what a program prints, or why it did not come to its end."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
            timeout=DEBUGGER_S, check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return _kept(error.stdout or b"") + f"\n{words[0]} took more than {DEBUGGER_S:g} s and was ended"
    except OSError as error:
        return f"{words[0]}: {error}"
    return _kept(done.stdout)


def _kept(said: bytes) -> str:
    text = _CHATTER.sub("", said.decode(errors="replace") + "\n").strip()
    return text if len(text) <= KEPT_CHARACTERS else f"{text[:KEPT_CHARACTERS]}\n… cut"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
