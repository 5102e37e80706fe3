from __future__ import annotations

import os

import anyio

from qstress.firmware.seabios import BootLog
from qstress.firmware.streams import Stream
from qstress.guest.console import KEPT_BYTES, Console
from qstress.model import Milestone


async def test_it_folds_what_is_written_until_the_end_of_file() -> None:
    rang: list[Milestone] = []
    console = Console(BootLog(), lambda: rang.append(console.log.milestone))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(console.pump)
        writer = os.dup(console.write_fds[Stream.DEBUG])
        console.close_write_ends()
        os.write(writer, b"SeaBIOS (version 1)\nBUILD: x\n")
        assert await console.output(10)
        os.write(writer, b"Found 2 cpu(s) max supported 2 cpu(s)\n")
        os.close(writer)
    assert rang == [Milestone.BANNER, Milestone.FOUND]
    assert console.text.startswith(b"SeaBIOS")
    console.close()


async def test_silence_is_told() -> None:
    console = Console(BootLog(), lambda: None)
    assert not await console.output(0.01)
    console.close()


async def test_a_flood_is_drained_and_its_beginning_kept() -> None:
    console = Console(BootLog(), lambda: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(console.pump)
        os.write(console.write_fds[Stream.DEBUG], b"first\n")
        for _ in range(20):
            await anyio.to_thread.run_sync(os.write, console.write_fds[Stream.DEBUG], b"x" * 50_000)
        console.close_write_ends()
    assert len(console.text) == KEPT_BYTES
    assert console.text.startswith(b"first\n")
    console.close()


def test_no_descriptor_is_left() -> None:
    before = set(os.listdir("/proc/self/fd"))
    console = Console(BootLog(), lambda: None)
    console.close()
    assert set(os.listdir("/proc/self/fd")) == before


async def test_who_listens_gets_what_is_printed_and_feeds_the_log() -> None:
    rang: list[bool] = []
    console, heard = Console(BootLog(), lambda: rang.append(True)), list[bytes]()
    console.listen(lambda data, _stream: heard.append(data))
    os.write(console.write_fds[Stream.DEBUG], b"SeaBIOS (version 1)\n")
    console.drain()
    assert heard == [b"SeaBIOS (version 1)\n"]
    assert (console.log.milestone, rang) == (Milestone.START, [])
    console.listen(None)
    os.write(console.write_fds[Stream.DEBUG], b"SeaBIOS (version 1)\n")
    console.drain()
    assert (console.log.milestone, rang, len(heard)) == (Milestone.BANNER, [True], 1)
    console.close()


async def test_each_stream_is_told_apart_and_the_end_of_the_serial_port_is_kept() -> None:
    console, heard = Console(BootLog(), lambda: None, Stream), list[tuple[bytes, Stream]]()
    console.listen(lambda data, stream: heard.append((data, stream)))
    ends = console.write_fds
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(console.pump)
        os.write(ends[Stream.DEBUG], b"SeaBIOS\n")
        os.write(ends[Stream.SERIAL], b"first\n")
        for _ in range(6):
            await anyio.to_thread.run_sync(os.write, ends[Stream.SERIAL], b"x" * 50_000)
        os.write(ends[Stream.SERIAL], b"last\n")
        console.close_write_ends()
    assert console.text == b"SeaBIOS\n" == b"".join(data for data, stream in heard if stream is Stream.DEBUG)
    assert b"".join(data for data, stream in heard if stream is Stream.SERIAL).startswith(b"first\n")
    assert len(console.serial) == KEPT_BYTES
    assert console.serial.endswith(b"xlast\n")
    console.close()


def test_a_guest_without_a_serial_port_has_said_nothing_there() -> None:
    console = Console(BootLog(), lambda: None)
    assert (console.serial, list(console.write_fds)) == (b"", [Stream.DEBUG])
    console.close_write_ends()
    assert console.write_fds == {}
    console.close()
