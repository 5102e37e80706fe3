"""An initramfs as bytes: cpio, "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst). Pure."""

from __future__ import annotations

import stat
from collections.abc import Mapping

_TRAILER = "TRAILER!!!"


def cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return the archive of *files*: a path without leading slash -> mode (with its type) and content.

    Folders come before what is in them, as in *files*. A character device has its ``major, minor`` as content, each
    one byte.
    """
    out = bytearray()
    for number, (name, (mode, content)) in enumerate([*files.items(), (_TRAILER, (0, b""))], 1):
        device = tuple(content) if stat.S_ISCHR(mode) else (0, 0)
        body = b"" if stat.S_ISCHR(mode) else content
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(body), 0, 0, *device, len(encoded), 0)
        out += b"070701" + "".join(f"{field:08X}" for field in fields).encode() + encoded
        out += bytes(-len(out) % 4) + body
        out += bytes(-len(out) % 4)
    return bytes(out)


def initramfs(init: bytes, modules: list[tuple[bytes, str]], agent: tuple[str, ...]) -> bytes:
    """Return what ``init.c`` expects.

    :param init: the program, statically linked.
    :param modules: content and parameters of each, in loading order.
    :param agent: the argument vector that runs inside once the root is there; its first word is a path.
    """
    folder, file = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644
    files: dict[str, tuple[int, bytes]] = {
        "dev": (folder, b""),
        "dev/console": (stat.S_IFCHR | 0o600, bytes((5, 1))),  # the kernel opens it for init
        "modules": (folder, b""),
        "init": (stat.S_IFREG | 0o755, init),
        "agent": (file, b"".join(word.encode() + b"\0" for word in agent)),
    }
    for number, (content, parameters) in enumerate(modules):
        files[f"modules/{number}"] = (file, content)
        files[f"modules/{number}.args"] = (file, parameters.encode())
    return cpio(files)
