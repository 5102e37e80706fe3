"""Makes ioctl calls in a process of its own, through the interposer into a fake KVM (``caller.py``, ``fake_kvm.c``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qstress.interposer.windows import HEADER, RECORD, RECORDS

HERE = Path(__file__).parent


def calls(fake: Path, env: dict[str, str], *lines: list[Any], log_fd: int | None = None) -> list[Any]:
    """Make the calls, return their answers."""
    with calling(fake, env, *lines, log_fd=log_fd) as process:
        answers = json.loads(process.communicate()[0])
        assert process.returncode == 0
    assert isinstance(answers, list)
    return answers


@contextmanager
def calling(
    fake: Path, env: dict[str, str], *lines: list[Any], log_fd: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The process while it makes the calls; killed if it is still at it."""
    preload = ":".join(filter(None, (env.get("LD_PRELOAD"), str(fake))))
    with subprocess.Popen(
        [sys.executable, str(HERE / "caller.py")], env={**os.environ, **env, "LD_PRELOAD": preload},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=() if log_fd is None else (log_fd,),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(lines))
        process.stdin.close()
        process.stdin = None
        try:
            yield process
        finally:
            process.kill()


def copy_log(fd: int) -> bytes:
    """Return what is used of the log *fd*; QEMU may go on."""
    head: int = HEADER.unpack(os.pread(fd, HEADER.size, 0))[5]
    return os.pread(fd, HEADER.size + min(head, RECORDS) * RECORD.size, 0)
