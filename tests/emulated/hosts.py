"""Stand-ins for the QEMU of an emulated host: programs that speak on its channel, on this machine."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from qstress.emulated.kernel import Kernel

_HEAD = f"""#!{sys.executable}
import os, re, sys, time
sys.path[:] = {sys.path!r}
if "--version" in sys.argv:
    print("QEMU emulator version 7.2.22")
    raise SystemExit
channel = int(re.search(r"id=agent,fd=([0-9]+)", " ".join(sys.argv))[1])
"""
#: Runs the real agent on this machine instead of in an emulated host.
AGENT = """
from qstress.emulated.agent import Agent
os.set_blocking(channel, False)
Agent(channel).run()
"""
#: Dies as a kernel does.
PANIC = """
print("[    1.0] Kernel panic - not syncing: Attempted to kill init!", flush=True)
print("[    1.1] ---[ end Kernel panic ]---", flush=True)
"""
#: Comes up, and then says nothing any more.
SILENT = """
from qstress.emulated.frames import Frame, Kind
os.write(channel, Frame(Kind.HELLO).encoded())
time.sleep(1000)
"""


def stand_in(folder: Path, body: str) -> str:
    """Return the path of a program that takes QEMU's arguments and does *body*."""
    path = folder / "qemu-stand-in"
    path.write_text(_HEAD + body)
    path.chmod(0o755)
    return str(path)


def no_kernel(folder: Path) -> Kernel:
    """Return a kernel for a stand-in: nobody boots it."""
    image = folder / "vmlinuz"
    image.write_bytes(b"kernel")
    return Kernel(image, "6.1.0-test", hashlib.sha256(b"kernel").hexdigest(), (), image)
