"""Reads a configuration: file, environment, ``--set``, options; refuses with ``path:line:col: key: problem``.

Nothing but :class:`ConfigError` comes out of any text. Problems of the text, of the overrides and of the values are
all shown at once, in file order; the rules between sections are looked at once each section is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from qstress.config import rules
from qstress.config.layers import Layers
from qstress.config.schema import Config
from qstress.config.tree import Node, Position, Problem, display, plain, refusal
from qstress.config.wording import problem_at, problems_of
from qstress.config.yaml12 import parse_yaml

#: Far above any configuration written by hand; keeps the time to refuse a hostile one at about a second.
MAX_BYTES = 1024 * 1024


def load_config(
    path: Path,
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    options_called: str | None = None,
) -> Config:
    """Read the configuration at *path* and what overrides it; later ones win: file, *environ*, *overrides*, *options*.

    :param environ: the process's environment; only ``QSTRESS_…`` and ``QEMU_TEST_QEMU_BINARY`` are looked at.
    :param overrides: ``key.path=value`` texts of ``--set``; each value is YAML.
    :param options: dotted path -> value of the named options that were given (None: not given).
    :param options_called: what messages call these; None: each by its own name on the command line.
    :raises ConfigError: anything at all is wrong; one line a problem.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _unreadable(path, "is a folder, not a file") from None
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file") from None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(path, f"cannot be read: {words}") from error
    if len(data) > MAX_BYTES:
        raise _unreadable(path, f"is larger than {MAX_BYTES // 1024} KiB; this is no configuration")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        problem = f"is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        raise _unreadable(path, problem, line, column) from error
    return load_config_text(
        text, str(path), environ=environ, overrides=overrides, options=options, options_called=options_called
    )


def load_config_text(
    text: str,
    name: str,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    options_called: str | None = None,
) -> Config:
    """Read a configuration from *text*; *name* stands for the path in messages. Otherwise as :func:`load`."""
    root, problems = parse_yaml(text, lambda line, column: Position(0, line, column, name))
    if root is None:
        raise refusal(problems)
    if not isinstance(root.value, dict) and root.value is not None:
        problems.append(Problem(root.place, "file", f"is {display(root.value)}, not a mapping of keys"))
        raise refusal(problems)
    layers = Layers(Node(root.place, root.value or {}), problems)
    layers.environment(environ or {})
    layers.overrides(overrides)
    layers.options(options or {}, options_called)
    return _validated(layers.root, layers.problems)


def _validated(root: Node, problems: list[Problem]) -> Config:
    """Return the tree as a Config that knows its origin; refuse it with *problems* and its own."""
    bare = plain(root)
    names = {key: bare.get(key) if isinstance(bare, dict) else None for key in ("builds", "hosts")}
    context = {key: list(named) if isinstance(named, dict) else None for key, named in names.items()}
    if names["hosts"] is None:
        context["hosts"] = []
    noted = {problem.place for problem in problems}
    try:
        config = Config.model_validate(bare, context=context)
    except ValidationError as error:
        # A value whose text was already refused has a stand-in, which must not be refused as well.
        fresh = [problem for problem in problems_of(error, root) if problem.place not in noted]
        raise refusal([*problems, *fresh]) from None
    problems = problems or [problem_at(root, loc, text) for loc, text in rules.broken(config)]
    if problems:
        raise refusal(problems)
    config._origin = root
    return config


def _unreadable(path: Path, text: str, line: int = 1, column: int = 1) -> Exception:
    return refusal([Problem(Position(0, line, column, str(path)), "file", text)])
