"""``python -m tools.prebuild_linux_init``: make the committed initramfs of Linux guests again, and the checksums.

Its one program is linked with no libc, so that nothing but the compiler decides its bytes: which one it was is told in
the program's ``.comment`` section.
"""

from __future__ import annotations

import hashlib
import stat
import subprocess
import tempfile
from pathlib import Path

from qstress.emulated.cpio import cpio

FOLDER = Path(__file__).parent.parent / "firmware"
SOURCE = FOLDER / "linux-init.c"
PREBUILT = FOLDER / "prebuilt" / "linux-init.cpio"

_FLAGS = (
    *("-static", "-nostdlib", "-Os", "-Wall", "-Wextra", "-Werror", "-fno-pie", "-no-pie"),
    *("-fno-stack-protector", "-fno-builtin", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,norelro", "-Wl,-z,noseparate-code", "-Wl,-s"),
)


def build() -> bytes:
    """Compile the program and return the archive.

    :raises subprocess.CalledProcessError: the compiler refuses it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "init"
        subprocess.run(["cc", *_FLAGS, "-o", str(made), SOURCE.name], check=True, cwd=SOURCE.parent)
        init = made.read_bytes()
    return cpio({
        "dev": (stat.S_IFDIR | 0o755, b""),
        "dev/console": (stat.S_IFCHR | 0o600, bytes((5, 1))),  # the kernel opens it for init
        "init": (stat.S_IFREG | 0o755, init),
    })  # fmt: skip


def main() -> None:
    """Build, and write the archive and the checksums of all that is committed."""
    PREBUILT.write_bytes(build())
    files = sorted(path for path in PREBUILT.parent.iterdir() if path.suffix in (".bin", ".cpio"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    PREBUILT.with_name("SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main()
