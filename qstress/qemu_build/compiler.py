"""The compiler of a build, and an environment that changes nothing behind its back."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from qstress.errors import RigError

#: What builds would take from the environment, so that what is recorded would not tell the whole configuration.
_NOT_PASSED_ON = {"AR", "AS", "CC", "CFLAGS", "CPP", "CPPFLAGS", "CXX", "CXXFLAGS", "LD", "LDFLAGS", "NINJA", "PYTHON",
                  "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}  # fmt: skip


def compiler_command() -> list[str]:
    """Return the words that call the C compiler: ``$CC``, else ``cc``."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def compiler_version() -> str:
    """Return what the C compiler calls itself.

    :raises RigError: reason ``build-needs``: there is none.
    """
    command = [*compiler_command(), "--version"]
    try:
        done = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RigError(f"there is no C compiler {command[0]}; install the Debian package gcc",
                       reason="build-needs") from error  # fmt: skip
    return done.stdout.partition("\n")[0]


def clean_environ() -> dict[str, str]:
    """Return this environment without what would change a build behind its configuration's back.

    A virtual environment's ``bin`` is left out of the path: its Python does not see the distribution's meson.
    """
    ours = str(Path(sys.executable).parent) if sys.prefix != sys.base_prefix else None
    path = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder != ours]
    kept = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED_ON}
    return {**kept, "PATH": os.pathsep.join(path), "LC_ALL": "C", "NINJA_STATUS": "[%f/%t] "}


def compile_all(
    command: Sequence[str], log: IO[str], error: re.Pattern[str], progress: Callable[[str], bool],
    *, env: Mapping[str, str], cwd: Path | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Run *command*, which compiles much, to its end; return its exit status, and the first line that says what failed.

    :param log: gets all that it says.
    :param error: matches a line that says what failed.
    :param progress: told each line, and returns whether that is a step, which says nothing of failures.
    :param env: its whole environment.
    :raises FileNotFoundError: there is no such program.
    """
    errors = []
    with subprocess.Popen(
        command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if not progress(line) and error.search(line):
                errors.append(line.strip())
    return process.returncode, errors[0] if errors else ""
