"""HMP lines out of the text of ``help``."""

from __future__ import annotations

from random import Random

from qstress.fuzz.hmp import Hmp, HmpCommand, parse_help
from qstress.fuzz.pool import Pool
from tests.fuzz.samples import HELP, HELP_INFO


def made() -> Hmp:
    return Hmp(parse_help(HELP) + parse_help(HELP_INFO), Pool())


def test_help_is_read_with_aliases_repeats_and_heads_over_several_lines() -> None:
    assert parse_help(HELP) == [
        HmpCommand("block_resize", ("device", "size")),
        HmpCommand("cont", ()),
        HmpCommand("closefd", ("name",)),
        HmpCommand("drive_add", ("[", "-n", "]", "<slot>", "[", "file=file", "]", "[", ",if=type", "]")),
        HmpCommand("print", ("/fmt", "expr")),
        HmpCommand("set_link", ("name", "on|off")),
        HmpCommand("system_reset", ()),
        HmpCommand("x", ("/fmt", "addr")),
    ]
    assert [command.name for command in parse_help(HELP_INFO)] == ["info registers", "info status"]
    assert parse_help("") == parse_help("no help here\n") == []


def test_lines_have_the_shape_that_help_shows() -> None:
    hmp, rng = made(), Random(1)
    assert hmp.line("system_reset", rng) == "system_reset"
    resizes = [hmp.line("block_resize", rng) for _ in range(50)]
    assert all(line.startswith("block_resize ") and int(line.rpartition(" ")[2], 0) is not None for line in resizes)
    assert {hmp.line("info registers", rng) for _ in range(50)} >= {"info registers", "info registers -a"}
    assert {hmp.line("set_link", rng).rpartition(" ")[2] for _ in range(50)} == {"on", "off"}
    assert all(hmp.line("x", rng).startswith("x /") for _ in range(20))


def test_malformed_lines_are_one_line_each_and_of_many_kinds() -> None:
    hmp, rng = made(), Random(2)
    lines = [hmp.malformed("block_resize d0 512", rng) for _ in range(300)]
    assert not any("\n" in line or "\x1b" in line for line in lines)
    for sign in ('"unbalanced', "block_resize/", " -f ", "\\x", "block_resize d0 512 "):
        assert any(sign in line for line in lines), sign
    assert any(len(line) < len("block_resize") for line in lines)
