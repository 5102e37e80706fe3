"""Whether a QEMU binary has its seccomp sandbox compiled in: asked by starting it, since its help does not tell."""

from __future__ import annotations

import os
import subprocess

from qstress.guest.argv import guarded
from qstress.model import Build

_QUIT = b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'
_TIMEOUT_S = 20.0


def has_sandbox(build: Build) -> bool:
    """Start *build* without a machine under ``-sandbox on`` and tell it to quit.

    Only a refusal that names the sandbox counts as "no": any other trouble is left to the first trial, which reports
    it in full.
    """
    arguments = ("-machine", "none", "-nodefaults", "-display", "none", "-sandbox", "on")
    monitor = ("-chardev", "stdio,id=qstress", "-mon", "chardev=qstress,mode=control")
    command = guarded((build.binary, *arguments, *monitor), parent_pid=os.getpid())
    env = {**os.environ, **dict(build.env)}
    try:
        done = subprocess.run(command, input=_QUIT, capture_output=True, env=env, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return done.returncode == 0 or b"sandbox" not in done.stderr
