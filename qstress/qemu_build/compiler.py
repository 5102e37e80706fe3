"""The compiler of a build, and an environment that changes nothing behind its back."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

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
