from __future__ import annotations

import pytest

from qstress.kernel_build.options import NEEDED, Sanitizer, asked_for, dropped, parsed, small_config
from tests.kernel_build.linux import BASE


@pytest.mark.parametrize("sanitizer", Sanitizer)
def test_modules_and_drivers_go_and_what_a_host_needs_is_built_in(sanitizer: Sanitizer) -> None:
    lines = small_config(BASE, sanitizer, "mine")
    options = parsed(lines)
    assert "m" not in options.values()
    assert options["KVM"] == options["X86_64"] == options["9P_FS"] == "y"
    assert options["SND"] == options["DRM"] == options["MODULE_SIG"] == "n"
    assert options["LOCALVERSION"] == '"-mine"'
    assert options["BUILD_SALT"] == '""', "a pair differs by its patch alone"
    assert dropped(lines, sanitizer) == []
    assert len(lines) == len(options), "an option stands in one line"


def test_a_sanitizer_excludes_the_other() -> None:
    wanted = {sanitizer: asked_for(sanitizer) for sanitizer in Sanitizer}
    assert [(wanted[each]["KCSAN"], wanted[each]["KASAN"]) for each in Sanitizer] == [
        ("n", "n"),
        ("y", "n"),
        ("n", "y"),
    ]
    assert wanted[Sanitizer.KCSAN]["KCSAN_REPORT_VALUE_CHANGE_ONLY"] == "n"


def test_what_the_kernel_left_out_is_named() -> None:
    lines = small_config(BASE, Sanitizer.KCSAN, "x")
    left = [line for line in lines if line not in ("CONFIG_KCSAN=y", "CONFIG_9P_FS=y")]
    assert dropped([*left, "# CONFIG_9P_FS is not set"], Sanitizer.KCSAN) == ["9P_FS", "KCSAN"]
    assert dropped([*lines, "CONFIG_KASAN=y"], Sanitizer.KCSAN) == ["KASAN"], "switched on by something else"
    assert dropped([line for line in lines if "KVM_SMM" not in line], Sanitizer.KCSAN) == [], "older than the option"


def test_the_emulated_hosts_own_modules_are_all_needed() -> None:
    """qstress/emulated/kernel.py loads them where they are modules."""
    from qstress.emulated.kernel import WANTED

    options = {"9p": "9P_FS", "9pnet_virtio": "NET_9P_VIRTIO", "overlay": "OVERLAY_FS"}
    assert {options.get(name, name.upper()) for name, _ in WANTED} <= set(NEEDED)


def test_an_option_whose_name_holds_another_is_not_taken_for_it() -> None:
    assert parsed(["CONFIG_KVM_AMD=m", "# CONFIG_KVM_AMD_SEV is not set", "#CONFIG_KVM=y"]) == {
        "KVM_AMD": "m", "KVM_AMD_SEV": "n"
    }  # fmt: skip
