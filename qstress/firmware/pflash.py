"""Where this host keeps OVMF: a pair of flash images, its code and a template of its variables.

QEMU has a standard for how distributions tell that: a description of each pair as JSON, in a folder in which the order
of the names is that of preference (QEMU, docs/interop/firmware.json). Of those that fit, the first one is taken that
needs no SMM, which not every accelerator has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qstress.errors import ConfigError

#: Folders of descriptions, the first found of two with the same name counts; pairs to try where there is none.
DESCRIPTIONS = ("etc/qemu/firmware", "usr/local/share/qemu/firmware", "usr/share/qemu/firmware")
PAIRS = (
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd"),
)


def find_pflash(root: Path = Path("/")) -> tuple[str, str]:
    """Return the absolute paths of OVMF's code and of the template of its variables.

    :param root: where this host's files begin.
    :raises ConfigError: there are none.
    """
    for pair in (*_described(root), *((root / code, root / variables) for code, variables in PAIRS)):
        if all(path.is_file() for path in pair):
            return str(pair[0]), str(pair[1])
    raise ConfigError(
        "there is no OVMF on this host: apt-get install ovmf (Debian, Ubuntu), dnf install edk2-ovmf (Fedora, RHEL), "
        "or name a pair with  guest: {pflash: {code: FILE, vars: FILE}}"
    )


def _described(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the pairs that are described and fit, most preferred first."""
    found: dict[str, Path] = {}
    for folder in DESCRIPTIONS:
        for path in (root / folder).glob("*.json"):
            found.setdefault(path.name, path)
    for name in sorted(found):
        try:
            told = json.loads(found[name].read_bytes())
            if _fits(told):
                files = told["mapping"]["executable"], told["mapping"]["nvram-template"]
                yield tuple(root / str(each["filename"]).lstrip("/") for each in files)  # type: ignore[misc]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not readable, or not such a description


def _fits(told: Any) -> bool:
    """Whether a description is of a UEFI for x86-64 in two flash images that any guest can run."""
    return (
        told["interface-types"] == ["uefi"]
        and told["mapping"]["device"] == "flash"
        and told["mapping"].get("mode", "split") == "split"
        and any(target["architecture"] == "x86_64" for target in told["targets"])
        and "requires-smm" not in told["features"]
    )
