from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qstress.host.check import build_under_check
from qstress.survey.answers import Answer
from qstress.survey.race import hammer_of, races
from qstress.survey.requests import Request, parse_step


def request(text: str, *, fresh: bool = False) -> Request:
    return Request(text, "hmp", parse_step(text), fresh=fresh)


def test_a_command_about_one_vcpu_is_aimed_at_an_ap() -> None:
    hammer = hammer_of(request("info mem"), Answer.ONE, "/f/")
    assert hammer is not None
    assert json.loads(hammer.arguments) == {"command-line": "info mem", "cpu-index": 1}
    hammer = hammer_of(request("memsave 0 8 %m"), Answer.ALL, "/f/")
    assert hammer is not None
    assert json.loads(hammer.arguments) == {"command-line": "memsave 0 8 /f/m"}


def test_what_needs_a_new_guest_each_time_is_no_hammer() -> None:
    assert hammer_of(request("nmi", fresh=True), Answer.ALL, "/f/") is None


def test_what_goes_on_after_its_reply_is_no_hammer() -> None:
    assert hammer_of(request("dump-guest-memory -d %d.elf 0 8"), Answer.ALL, "/f/") is None


def test_what_nobody_has_looked_at_is_sent_unconfined_only_where_it_reads() -> None:
    assert hammer_of(replace(request("memsave 0 8 /etc/x"), generated=True), Answer.ONE, "/f/") is None
    assert hammer_of(replace(request("info mem"), generated=True), Answer.ONE, "/f/") is not None


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(300)
async def test_a_command_that_writes_back_one_ap_loses_and_replays_its_init_when_it_is_held() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    hammer = hammer_of(request("info lapic"), Answer.ONE, "/f/")
    assert hammer is not None
    seen = await races(build, hammer, 60, sandbox=False)
    assert seen.held_lost.k
    assert seen.held_replayed.k
