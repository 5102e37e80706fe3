"""``python -m tools.prebuild_interposer``: make the interposer's committed library again, and its checksums.

It is linked with no libc and without a symbol's version, so that one file serves glibc and musl. Another compiler makes
other bytes: the one that made it is told in the library's ``.comment`` section.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from qstress.interposer.build import PREBUILT, SOURCE, SUMS

_FLAGS = (
    *("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-nostdlib"),
    *("-fno-stack-protector", "-U_FORTIFY_SOURCE"),  # these would need a libc's own symbols
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,now", "-Wl,-s"),
)


def build(path: Path) -> Path:
    """Compile the source to *path* and return it.

    :raises subprocess.CalledProcessError: the compiler refuses it.
    """
    subprocess.run(["cc", *_FLAGS, "-o", str(path), SOURCE.name], check=True, cwd=SOURCE.parent)
    return path


def main() -> None:
    """Build, and write the checksums of source and library."""
    PREBUILT.parent.mkdir(exist_ok=True)
    build(PREBUILT).chmod(0o644)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in (SOURCE, PREBUILT)]
    SUMS.write_text("\n".join(sums) + "\n")


if __name__ == "__main__":
    main()
