from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from qstress.errors import RigError
from qstress.model import Smm
from tests.live.rig import stock
from tools.regressions.__main__ import MOST_RIG_ERRORS, tally, told
from tools.regressions.lab import HUNG, LOST, OK, REPLAYED, Heard, Lab, assembled
from tools.regressions.scenarios import SCENARIOS, Note

#: A QEMU with docs/both-races in it.
CURED = os.environ.get("QSTRESS_BOTH_RACES", "")
NEEDS_SMM = {"boot-q35-smm", "init-latched", "init-latched-migrated"}


def lab(folder: Path) -> Lab:
    return Lab(stock(), folder, 30.0, random.Random(1))


@pytest.mark.parametrize(
    ("said", "fate"),
    [(b"..", OK), (b"(.).", OK), (b".L", LOST), (b"R..", REPLAYED), (b"\x81..", REPLAYED), (b"LR.", LOST), (b"SS", OK)],
)
async def test_what_a_console_says_is_what_becomes_of_a_guest(said: bytes, fate: str) -> None:
    heard = Heard()
    async with anyio.create_task_group() as tasks:

        async def speak() -> None:
            for byte in said:
                heard.feed(bytes((byte,)))
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(speak)
        assert await heard.more(2, 30.0) == fate


@pytest.mark.parametrize(("said", "fate"), [(b"", HUNG), (b".", HUNG), (b"R", REPLAYED)])
async def test_a_guest_that_says_no_more_hangs(said: bytes, fate: str) -> None:
    heard = Heard()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_feed, heard.feed, said)
        assert await heard.more(2, 0.05) == fate


async def _feed(feed: Callable[[bytes], None], said: bytes) -> None:
    feed(said)


async def test_a_guest_that_broke_is_followed_by_another_until_there_are_enough(tmp_path: Path) -> None:
    guests = 0

    async def scenario(lab: Lab, note: Note) -> None:
        nonlocal guests
        guests += 1
        while note(HUNG if guests == 2 else OK):
            pass

    assert await tally(scenario, lab(tmp_path), 5) == Counter({OK: 5})
    assert await tally(scenario, lab(tmp_path), 5) == Counter({OK: 4, HUNG: 1})
    assert guests == 3


async def test_a_guest_that_cannot_be_started_is_not_tried_for_ever(tmp_path: Path) -> None:
    tried = 0

    async def scenario(lab: Lab, note: Note) -> None:
        nonlocal tried
        tried += 1
        raise ExceptionGroup("", [RigError("no such QEMU", reason="x")])

    with pytest.raises(RigError, match="no such QEMU"):
        await tally(scenario, lab(tmp_path), 5)
    assert tried == MOST_RIG_ERRORS


def test_outcomes_are_told_as_k_of_n() -> None:
    assert told(Counter({OK: 30})) == "0/30"
    assert told(Counter({OK: 25, REPLAYED: 2, HUNG: 3})) == "5/30 (3 hung, 2 replayed)"


def test_the_rom_that_sends_inits_to_an_ap_in_smm_is_64_kib(tmp_path: Path) -> None:
    assert assembled(tmp_path).stat().st_size == 65536


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.parametrize("name", ["migrate-destination", "loadvm", "reset"])
async def test_what_stock_does_right_is_seen(tmp_path: Path, name: str) -> None:
    assert set(await tally(SCENARIOS[name], lab(tmp_path), 1)) == {OK}


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(600)
@pytest.mark.skipif(not CURED, reason="QSTRESS_BOTH_RACES names no QEMU with docs/both-races in it")
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in NEEDS_SMM])
async def test_both_patches_break_nothing(tmp_path: Path, name: str) -> None:
    cured = Lab(replace(stock(smm=Smm.PRETENDED), binary=CURED), tmp_path, 30.0, random.Random(1))
    try:
        outcomes = await tally(SCENARIOS[name], cured, 10)
    except RigError as error:
        if name != "irqchip-off" or "userspace APIC" not in str(error):
            raise
        pytest.skip(f"this KVM leaves no APIC to QEMU: {error}")
    assert set(outcomes) == {OK}
