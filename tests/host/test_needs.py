from __future__ import annotations

import pytest

from qstress.host.needs import missing_package


@pytest.mark.parametrize(
    ("said", "package"),
    [
        # 7.2.22
        ("\nERROR: Meson not found.  Use --meson=/path/to/meson\n", "meson"),
        ("ERROR: glib-2.56 gthread-2.0 is required to compile QEMU", "libglib2.0-dev"),
        ('../meson.build:553:2: ERROR: Dependency "pixman-1" not found, tried pkgconfig', "libpixman-1-dev"),
        ("ERROR: Problem encountered: fdt not available but required by targets x86_64-softmmu", "libfdt-dev"),
        ("ERROR: pkg-config binary 'pkg-config' not found", "pkg-config"),
        ('ERROR: "cc" either does not exist or does not work', "gcc (with libc6-dev)"),
        ('ERROR: "cc" cannot build an executable (is your linker broken?)', "libc6-dev"),
        ("ERROR: GNU make (make) not found", "make"),
        ("ERROR: Cannot find Ninja", "ninja-build"),
        ("ERROR: Python not found. Use --python=/path/to/python", "python3"),
        # 10.0.13
        ("Could not provide build dependency 'meson==1.5.0':\n • Python package", "meson (1.5.0 or newer)"),
        ("Python's ensurepip module is not found.", "python3-venv"),
        ('ERROR: C compiler "cc" either does not exist or does not work.', "gcc (with libc6-dev)"),
        ("failed: Pkg-config for machine host machine not found. Giving up.", "pkg-config"),
        ("ERROR: Problem encountered: fdt disabled but required by targets x86_64-softmmu", "libfdt-dev"),
        # either
        ('ERROR: Dependency "glib-2.0" not found, tried pkgconfig', "libglib2.0-dev"),
        ('ERROR: Dependency "nettle" not found, tried pkgconfig', "that has nettle.pc"),
        ("ERROR: unknown option --enable-kvm", None),
        ("", None),
    ],
)
def test_the_package_that_configure_asks_for(said: str, package: str | None) -> None:
    assert missing_package(said) == package
