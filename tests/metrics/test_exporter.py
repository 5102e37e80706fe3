"""Where metrics are read: a real socket, a real file, and what happens when the host refuses either."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import anyio.lowlevel
import pytest
from anyio.to_thread import run_sync

from qstress.errors import ConfigError, RigError
from qstress.metrics import exporter as module
from qstress.metrics.exporter import CONTENT_TYPE, Exporter, Page
from qstress.metrics.families import render
from qstress.metrics.snapshot import RunVerdict, Snapshot, snapshot
from tests.metrics.samples import at_start, progress, settings, tally_of

LOOPBACK = ("127.0.0.1", 0)


def ended(verdict: RunVerdict = RunVerdict.PASSED) -> Snapshot:
    made, planned = settings()
    return snapshot(made, tally_of(made, planned), progress(verdict))


def get(url: str) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def unsaid(line: str) -> None:
    raise AssertionError(f"nothing was to be said: {line}")


def exporter(
    listen: tuple[str, int] | None = None, textfile: Path | None = None, say: Callable[[str], None] = unsaid
) -> Exporter:
    return Exporter(listen, textfile, "nightly", say)


async def test_a_scrape_gets_the_run_as_it_stands() -> None:
    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        async with ours.following(at_start):
            status, kind, body = await run_sync(get, ours.url)
    assert (status, kind) == (200, CONTENT_TYPE)
    assert body == render(at_start())


async def test_snapshots_are_taken_on_the_event_loop() -> None:
    threads = []

    def take() -> Snapshot:
        threads.append(threading.get_ident())
        return at_start()

    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        async with ours.following(take):
            await run_sync(get, ours.url)
    assert set(threads) == {threading.get_ident()}


async def test_while_it_serves_the_event_loop_need_not_wait_long_for_a_rendering() -> None:
    usual_s = sys.getswitchinterval()
    with exporter(LOOPBACK) as ours:
        async with ours.following(at_start):
            assert sys.getswitchinterval() == pytest.approx(module.SWITCH_S)
    assert sys.getswitchinterval() == usual_s


async def test_another_path_is_not_found_and_says_where_to_look() -> None:
    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        async with ours.following(at_start):
            status, _, body = await run_sync(get, ours.url.removesuffix("metrics"))
            asked = await run_sync(get, f"{ours.url}?name[]=x")
    assert (status, body) == (404, b"the metrics are at /metrics\n")
    assert asked[0] == 200


async def test_a_client_that_says_nothing_keeps_nobody_waiting() -> None:
    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        port = int(ours.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)):
            async with ours.following(at_start):
                assert (await run_sync(get, ours.url))[0] == 200


async def test_scrapes_of_a_stuck_run_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    stuck, free = threading.Event(), threading.Event()

    def take() -> Snapshot:
        stuck.set()
        free.wait()
        return at_start()

    def scrape_twice(url: str) -> list[int]:
        statuses: list[int] = []
        first = threading.Thread(target=lambda: statuses.append(get(url)[0]))
        first.start()
        stuck.wait()
        statuses.append(get(url)[0])
        free.set()
        first.join()
        return statuses

    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        async with ours.following(take):
            assert await run_sync(scrape_twice, ours.url) == [503, 200]


async def test_a_defect_of_ours_is_told_and_ends_nothing() -> None:
    broken = [True]

    def take() -> Snapshot:
        if broken[0]:
            raise ZeroDivisionError("ours")
        return at_start()

    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        async with ours.following(take):
            answer = await run_sync(get, ours.url)
            broken[0] = False
    assert answer == (503, CONTENT_TYPE, b"the run does not answer: ZeroDivisionError('ours')\n")


def test_a_page_is_rendered_at_most_once_a_second() -> None:
    taken, clock_s = [], [100.0]

    def take() -> Snapshot:
        taken.append(clock_s[0])
        return at_start()

    page = Page(take, clock=lambda: clock_s[0])
    for at_s in (100.0, 100.5, 100.999, 101.0, 101.9, 103.0):
        clock_s[0] = at_s
        assert page.content() == render(at_start())
    assert taken == [100.0, 101.0, 103.0]


def test_an_address_in_use_is_refused_at_once() -> None:
    with exporter(LOOPBACK) as ours:
        assert ours.url is not None
        port = int(ours.url.split(":")[2].split("/")[0])
        with pytest.raises(RigError, match=f"cannot serve at 127.0.0.1:{port}: Address already in use") as caught:
            exporter(("127.0.0.1", port))
    assert caught.value.reason == "metrics"
    exporter(("127.0.0.1", port)).__exit__(None, None, None)  # given up with the block


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(RigError, match="cannot serve at 192.0.2.1:9797: Cannot assign"):
        exporter(("192.0.2.1", 9797))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_has_brackets() -> None:
    try:
        with exporter(("::1", 0)) as ours:
            assert str(ours.url).startswith("http://[::1]:")
    except RigError as error:
        pytest.skip(str(error))


async def test_the_textfile_is_there_from_the_start_and_keeps_the_end(tmp_path: Path) -> None:
    now = [at_start()]
    with exporter(textfile=tmp_path) as ours:
        async with ours.following(lambda: now[0]):
            (path,) = tmp_path.iterdir()
            assert path.name == "qstress-nightly.prom"
            assert path.read_bytes() == render(at_start())
            now[0] = ended()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [render(ended())]  # and nothing half-made beside it
    assert path.stat().st_mode & 0o444 == 0o444 & ~_umask()


async def test_the_textfile_is_replaced_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTFILE_EVERY_S", 0.0)
    now, path = [at_start()], tmp_path / "a.prom"
    with exporter(textfile=path) as ours:
        async with ours.following(lambda: now[0]):
            now[0] = ended(RunVerdict.INCONCLUSIVE)
            while path.read_bytes() != render(now[0]):  # the test's time limit is the deadline
                await anyio.lowlevel.checkpoint()


async def test_a_run_that_breaks_is_an_error_in_the_textfile(tmp_path: Path) -> None:
    path = tmp_path / "a.prom"
    with pytest.raises(ExceptionGroup):
        async with exporter(textfile=path).following(ended):
            raise ZeroDivisionError
    assert path.read_bytes() == render(ended(RunVerdict.ERROR))


@pytest.mark.parametrize(
    ("textfile", "error", "match"),
    [
        ("metrics.txt", ConfigError, "whose name ends in .prom"),
        ("nowhere/a.prom", RigError, "there is no folder"),
    ],
)
def test_a_textfile_that_nobody_would_read_is_refused(
    tmp_path: Path, textfile: str, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        exporter(textfile=tmp_path / textfile)


async def test_a_textfile_that_cannot_be_written_lets_no_guest_boot(tmp_path: Path) -> None:
    path = tmp_path / "a.prom"
    with exporter(textfile=path) as ours:
        path.mkdir()
        with pytest.raises(RigError, match=r"a\.prom: Is a directory"):
            async with ours.following(at_start):
                pytest.fail("the block was entered")


async def test_a_textfile_lost_on_the_way_is_said_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with exporter(textfile=tmp_path, say=said.append) as ours:
        async with ours.following(at_start):
            monkeypatch.setattr(module, "write_to_textfile", refuse)
            ours._try_to_write(at_start())  # and once more at the end
    path = tmp_path / "qstress-nightly.prom"
    assert said == [f"warning: metrics.textfile: {path}: No space left on device; the run goes on without it"]


async def test_nothing_asked_for_is_nothing_done() -> None:
    before = threading.active_count()
    with exporter() as ours:
        assert ours.url is None
        async with ours.following(at_start):
            assert threading.active_count() == before


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _umask() -> int:
    was = os.umask(0o022)
    os.umask(was)
    return was
