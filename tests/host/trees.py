"""A QEMU source tree of a few lines and patches for it, for the tests of ``build`` and its parts."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

SOURCE = "".join(f"line {number}\n" for number in range(1, 41))

#: Writes what the real one leaves for ninja, unless the tree says that something is missing.
CONFIGURE = """\
#!/bin/sh
# --disable-download
here=$(dirname "$0")
echo "$0 $*" >> "$here/../configured"
env > environment
[ ! -e "$here/missing" ] || { cat "$here/missing"; exit 1; }
echo "$here" > build.ninja
"""

#: Stands for ninja: "compiles" the binary from the tree's file, telling its steps.
NINJA = """\
[ ! -e broken ] || exit 9
tree=$(cat build.ninja)
echo "[1/2] Compiling C object kvm.c.o"
if grep -q oops "$tree/target/kvm.c"; then
    echo "../tree/target/kvm.c:3:1: error: unknown type name 'oops'"
    echo "ninja: build stopped: subcommand failed."
    exit 1
fi
echo "[2/2] Linking target qemu-system-x86_64"
printf '#!/bin/sh\\n# %s\\necho QEMU emulator version 9.8.7\\n' "$(cksum < "$tree/target/kvm.c")" > qemu-system-x86_64
chmod +x qemu-system-x86_64"""


def tree(folder: Path) -> Path:
    """Make a source tree in *folder*."""
    for name, text in {
        "configure": CONFIGURE,
        "VERSION": "9.8.7\n",
        "meson.build": "",
        "target/kvm.c": SOURCE,
        "pc-bios/bios-256k.bin": "rom",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "configure").chmod(0o755)
    return folder


def hunk(number: int, new: str, old: str | None = None) -> str:
    """Return a hunk that changes line *number* of SOURCE, or what *old* takes it for, to *new*."""
    before, after = (f" line {number + offset}\n" for offset in (-1, 1))
    return f"@@ -{number - 1},3 +{number - 1},3 @@\n{before}-{old or f'line {number}'}\n+{new}\n{after}"


def diff(number: int, new: str, file: str = "target/kvm.c", old: str | None = None) -> str:
    """Return a git diff of *file* with one :func:`hunk`."""
    return f"diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n{hunk(number, new, old)}"


def mail(subject: str, body: str, *, author: str = "Ann Uthor <a@example.org>", encoding: str = "8bit") -> bytes:
    """Return a patch mail; *encoding* is its transfer encoding."""
    message = EmailMessage()
    message["From"], message["Subject"] = author, subject
    message.set_content(body, cte=encoding)
    return message.as_bytes()


def mbox(*mails: bytes) -> bytes:
    """Return *mails* as one mbox."""
    return b"".join(b"From a@example.org Tue Sep  9 12:00:00 2025\n" + mail + b"\n\n" for mail in mails)
