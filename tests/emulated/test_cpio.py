from __future__ import annotations

import stat

from qstress.emulated.cpio import cpio, initramfs


def read(archive: bytes) -> dict[str, tuple[int, tuple[int, int], bytes]]:
    """Read a newc archive: mode, device numbers and content by name; another way round than it is made."""
    found: dict[str, tuple[int, tuple[int, int], bytes]] = {}
    at = 0
    while True:
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        body = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], (fields[9], fields[10]), archive[body : body + size])
        at = (body + size + 3) // 4 * 4


def test_what_goes_in_comes_out() -> None:
    for length in range(5):
        archive = cpio({"a": (stat.S_IFREG | 0o644, b"x" * length), "folder/bc": (stat.S_IFREG | 0o600, b"yes")})
        assert read(archive)["a"] == (stat.S_IFREG | 0o644, (0, 0), b"x" * length)
        assert read(archive)["folder/bc"][2] == b"yes"


def test_an_initramfs_has_what_its_init_reads() -> None:
    files = read(initramfs(b"init", [(b"one", ""), (b"two", "nested=0")], ("/python", "-c", "print()")))
    assert files["init"] == (stat.S_IFREG | 0o755, (0, 0), b"init")
    assert files["dev/console"][:2] == (stat.S_IFCHR | 0o600, (5, 1))
    assert (files["modules/0"][2], files["modules/1"][2], files["modules/1.args"][2]) == (b"one", b"two", b"nested=0")
    assert files["agent"][2] == b"/python\0-c\0print()\0"
    assert list(files).index("modules") < list(files).index("modules/0")
