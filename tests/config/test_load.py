from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstress.config.load import MAX_BYTES, load_config, load_config_text
from qstress.config.schema import Config
from qstress.config.tree import MAX_PROBLEMS
from qstress.errors import ConfigError
from tests.config.samples import GOOD

CONFIGS = Path(__file__).parents[2] / "configs"
LINE = re.compile(r"f:[1-9][0-9]*:[1-9][0-9]*: \S.*: \S.*")


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    return str(caught.value)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "c.yaml"
    path.write_bytes(data)
    return path


def config_or_refusal(text: str) -> Config | None:
    """Read *text*; a refusal must be made of lines that name a place, a key and a problem, in our own words."""
    try:
        return load_config_text(text, "f")
    except ConfigError as error:
        lines = str(error).split("\n")
        assert 1 <= len(lines) <= MAX_PROBLEMS + 1
        for line in lines:
            assert LINE.fullmatch(line)
        return None


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_shipped_configurations_are_right(path: Path) -> None:
    config = load_config(path, environ={})
    assert config.name == path.stem
    assert config.compare is None or set(config.builds) == {config.compare.baseline, *config.compare.candidate}


def test_a_file_and_all_that_overrides_it(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.encode())
    environ = {"QSTRESS_SEED": "2", "HOME": "/"}
    config = load_config(path, environ=environ, overrides=["stop.trials=5"], options={"lanes": 3})
    assert (config.seed, config.stop.trials, config.lanes) == (2, 5, 3)


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()), environ={}).name == "sample"
    path = write(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("version: 1", "version: 2").encode())
    assert refused(path) == f"{path}:1:10: version: 2 is not one of: 1"


def test_windows_line_ends_are_tolerated(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, GOOD.replace("\n", "\r\n").encode()), environ={}).name == "sample"


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}:1:1: file: is a folder, not a file"
    assert refused(tmp_path / "x") == f"{tmp_path / 'x'}:1:1: file: there is no such file"
    assert refused(write(tmp_path, b"") / "x").endswith("c.yaml/x:1:1: file: cannot be read: Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.encode())
    path.chmod(0)
    assert refused(path) == f"{path}:1:1: file: cannot be read: Permission denied"


def test_paths_that_no_system_has(tmp_path: Path) -> None:
    assert ":1:1: file: cannot be read: " in refused(tmp_path / ("x" * 5000))
    assert r"\x00b:1:1: file: cannot be read: " in refused(tmp_path / "a\0b")


def test_a_file_that_fails_while_it_is_read() -> None:
    # Address 0 of one's own memory is never mapped: the read fails with EIO, for root as well.
    assert refused(Path("/proc/self/mem")) == "/proc/self/mem:1:1: file: cannot be read: Input/output error"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: \xff\n", "1:4: file: is not UTF-8: byte 0xff at offset 3"),
        (b"a: b\nc: d\xc3", "2:5: file: is not UTF-8: byte 0xc3 at offset 9"),
        ("a: b".encode("utf-16"), "1:1: file: is not UTF-8: byte 0xff at offset 0"),
        (b"[" * 10_000_000, "1:1: file: is larger than 1024 KiB; this is no configuration"),
        (b"[" * MAX_BYTES, "1:33: [0][0][0]: nested more than 32 levels deep"),
        (b"- 1", "1:1: file: is a list, not a mapping of keys"),
        (b"hello", "1:1: file: is 'hello', not a mapping of keys"),
    ],
    ids=["latin", "cut", "utf16", "10 MB", "1 MiB", "list", "text"],
)
def test_files_that_are_no_configuration(tmp_path: Path, data: bytes, line: str) -> None:
    path = write(tmp_path, data)
    assert refused(path) == f"{path}:{line}"


def test_an_empty_file_lacks_what_is_required(tmp_path: Path) -> None:
    path = write(tmp_path, b"# nothing\n")
    assert refused(path).splitlines() == [
        f"{path}:1:1: {key}: is missing; this key is required" for key in ("version", "name", "builds")
    ]


def test_all_problems_at_once_in_file_order() -> None:
    text = GOOD.replace("version: 1", "version: 01").replace("32M", "32").replace("30m", "soon") + "zeed: 1\nname: x\n"
    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "f")
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["f:1:10", "version"], ["f:8:11", "guest.memory"], ["f:11:31", "stop.duration"],
        ["f:14:1", "zeed"], ["f:15:1", "name"],
    ]  # fmt: skip


def test_many_problems_are_capped() -> None:
    text = GOOD + "".join(f"key{n}: 1\n" for n in range(50))
    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "f")
    lines = str(caught.value).splitlines()
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1].endswith(": file: 30 more problems")


def test_a_value_is_refused_once_only() -> None:
    # .nan gets the stand-in 0, which alpha would refuse too.
    text = GOOD.replace("candidate: fixed", "candidate: fixed, alpha: .nan")
    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "f")
    assert str(caught.value) == "f:12:53: compare.alpha: .nan is not a finite number"


@settings(deadline=None, max_examples=300, database=None)
@given(st.text() | st.text(alphabet="[]{}:,-?&*!|>'\"%@`#~<ab01 \n\t\\xuUe.+").map(lambda text: GOOD + text))
def test_no_text_breaks_out(text: str) -> None:
    config_or_refusal(text)


@settings(deadline=None, max_examples=100, database=None)
@given(st.binary())
def test_no_bytes_break_out(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), data)
    with pytest.raises(ConfigError):
        load_config(path, environ={})


@settings(deadline=None, max_examples=400, database=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_mutation_of_a_good_file_breaks_out(seed: int, times: int) -> None:
    draw, text = random.Random(seed), GOOD
    pieces = ["", " ", "\n", "-", ":", "[", "]", "{", "}", ",", "0", "*a", "&a ", "!x ", "~", ".inf", "'", '"', "\t"]
    pieces += ["é", "\0", "1e999", "017", "<<: ", "null", "true", "\ud800", "9" * 50, "- ", "? "]
    for _ in range(times):
        at, length = draw.randrange(len(text) + 1), draw.choice([0, 0, 1, 5, 40])
        if draw.random() < 0.3:
            other = draw.randrange(len(text) + 1)
            text = text[:at] + text[other : other + length] + text[at:]
        else:
            text = text[:at] + draw.choice(pieces) + text[at + length :]
    config_or_refusal(text)


_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["max", "all", "1s"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_key = st.sampled_from([
    "version", "name", "builds", "builds.stock", "builds.stock.env", "builds.stock.inject", "guest", "guest.smp",
    "guest.memory", "hammer", "hammer.0", "hammer.0.rate", "hammer.0.from", "hammer.0.arguments", "stop", "stop.trials",
    "compare", "compare.candidate", "compare.alpha", "gate", "gate.classes", "gate.build", "lanes", "metrics",
    "metrics.listen",
])  # fmt: skip


@settings(deadline=None, max_examples=300, database=None)
@given(st.dictionaries(_key, _value, max_size=2), st.dictionaries(_key, st.text(max_size=8), max_size=2))
def test_no_override_breaks_out(options: dict[str, object], texts: dict[str, str]) -> None:
    overrides = [f"{key}={text}" for key, text in texts.items()]
    environ = {"QSTRESS_" + key.replace(".", "__").upper(): text for key, text in texts.items()}
    try:
        load_config_text(GOOD, "f", environ=environ, overrides=overrides, options=options)
    except ConfigError as error:
        for line in str(error).split("\n"):
            assert re.fullmatch(r"(f:[0-9]+:[0-9]+|environment QSTRESS_\S+|--(set )?.+?): \S.*: \S.*", line)
