"""Which Debian package is missing, from what QEMU's ``configure`` says when it gives up (pure).

The wordings are those of 7.2.22 and 10.0.13: ``configure``, ``meson.build`` and ``python/scripts/mkvenv.py``, and
meson 1.0 and 1.5 for dependencies.
"""

from __future__ import annotations

import re

_LIBRARIES = {
    "glib-2.0": "libglib2.0-dev",
    "gio-2.0": "libglib2.0-dev",
    "pixman-1": "libpixman-1-dev",
    "zlib": "zlib1g-dev",
}
_WORDINGS = (
    (r"pkg-config binary '[^']*' not found|Pkg-config for machine .* not found", "pkg-config"),
    (r"glib-\S+ \S+ is required", "libglib2.0-dev"),
    (r"fdt (?:not available|disabled) but required", "libfdt-dev"),
    (r"Meson not found", "meson"),
    (r"Cannot find Ninja", "ninja-build"),
    (r"GNU make \(\S+\) not found", "make"),
    (r"ensurepip module is not found", "python3-venv"),
    (r"no usable tomli", "python3-tomli"),
    (r"Python not found", "python3"),
    (r"does not exist or does not work", "gcc (with libc6-dev)"),
    (r"cannot build an executable", "libc6-dev"),
)


def missing_package(said: str) -> str | None:
    """Return the Debian package that *said*, the output of a failed ``configure``, asks for; None if it asks for none.

    A version that is too old is told with it: ``meson (1.5.0 or newer)``.
    """
    if match := re.search(r"Could not provide build dependency 'meson[>=]+([\d.]+)'", said):
        return f"meson ({match.group(1)} or newer)"
    for wording, package in _WORDINGS:
        if re.search(wording, said):
            return package
    if match := re.search(r'Dependency "([^"]+)" not found', said):
        return _LIBRARIES.get(match.group(1), f"that has {match.group(1)}.pc")
    return None
