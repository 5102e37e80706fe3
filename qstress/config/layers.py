"""Settings that override the file: the QEMU under test, environment, then ``--set``, then named options.

Each layer takes a tree and returns a new one; what it cannot place or read is noted as a problem and skipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qstress.config.tree import Loc, Node, Part, Position, Problem, dotted, from_plain, put
from qstress.config.yaml12 import MAX_DEPTH, parse_yaml

PREFIX = "QSTRESS_"
#: The variable of that prefix that is no configuration: it names a folder for the journals of all trials, not only of
#: findings.
JOURNALS_VARIABLE = "QSTRESS_JOURNALS"
#: How QEMU's own tests are told the binary under test. It stands for a file's plain name of QEMU; a path wins over it.
UNDER_TEST, QEMU = "QEMU_TEST_QEMU_BINARY", "qemu-system-x86_64"
#: The options that are not called as the key that they write.
_OPTIONS = {"fleet.scheduler": "--fleet"}
_SEGMENT = re.compile(r'(?:^|\.)(?:"([^"]*)"|([^."\[\]]+))|\[([0-9]{1,9})\]')


@dataclass
class Layers:
    """A tree under construction and the problems met on the way. ``rank`` numbers the overrides so far."""

    root: Node
    problems: list[Problem] = field(default_factory=list)
    rank: int = 0

    def environment(self, environ: Mapping[str, str]) -> None:
        """Apply ``QEMU_TEST_QEMU_BINARY`` to each build that is QEMU's plain name, then every ``QSTRESS_…`` variable in
        *environ*; ``__`` goes down a level: ``QSTRESS_STOP__TRIALS``."""
        if given := environ.get(UNDER_TEST):
            self._under_test(os.path.abspath(given) if "/" in given else given)
        for name in sorted(environ):
            if name.startswith(PREFIX) and name != JOURNALS_VARIABLE:
                path = _matched(self.root, name.removeprefix(PREFIX).split("__"))
                self._put_text(path, environ[name], f"environment {name}")

    def _under_test(self, binary: str) -> None:
        builds = self.root.value.get("builds") if isinstance(self.root.value, dict) else None
        for name, build in builds.value.items() if builds and isinstance(builds.value, dict) else ():
            named = build.value.get("binary") if isinstance(build.value, dict) else None
            if named and named.value == QEMU:
                source = f"environment {UNDER_TEST}"
                self._put(("builds", name, "binary"), from_plain(binary, self._place(source)), source)

    def overrides(self, settings: Sequence[str]) -> None:
        """Apply ``key.path=value`` settings; a name with a dot in it is quoted: ``builds."v7.2".binary=…``."""
        for setting in settings:
            key, equals, text = setting.partition("=")
            source = f"--set {setting if len(setting) <= 80 else setting[:79] + '…'}"
            path = _path(key.strip())
            if equals and path:
                self._put_text(path, text, source)
            else:
                self._note(source, "set", "is not of the form key.path=value")

    def options(self, values: Mapping[str, object], called: str | None = None) -> None:
        """Apply named options, by dotted path; None means that the option was not given. A str stays a str.

        :param called: what messages call them all; None: each by its own name on the command line.
        """
        for key, value in values.items():
            if value is None:
                continue
            source = called or _OPTIONS.get(key) or "--" + key.replace("_", "-")
            try:
                self._put(tuple(key.split(".")), from_plain(value, self._place(source)), source)
            except ValueError as error:
                self._note(source, key, str(error))

    def _place(self, source: str) -> Position:
        self.rank += 1
        return Position(self.rank, 0, 0, source)

    def _note(self, source: str, key: str, text: str) -> None:
        self.problems.append(Problem(self._place(source), key, text))

    def _put_text(self, path: Loc, text: str, source: str) -> None:
        """Put the YAML value *text* at *path*."""
        place = self._place(source)
        node, problems = parse_yaml(text, lambda line, column: place)
        # Inside the value, keys are relative to it: show them from the top.
        self.problems += [replace(problem, key=dotted(path)) for problem in problems]
        if node is not None:
            self._put(path, node, source)

    def _put(self, path: Loc, node: Node, source: str) -> None:
        if len(path) > MAX_DEPTH:
            return self._note(source, dotted(path[:3]), f"nested more than {MAX_DEPTH} levels deep")
        try:
            self.root = put(self.root, path, node)
        except LookupError as error:
            self._note(source, dotted(path), error.args[0])


def _path(key: str) -> Loc:
    """Return the path that *key* writes (``hammer[0].rate``, ``builds."v7.2".env``), or () if it is none."""
    parts: list[Part] = []
    end = 0
    for match in _SEGMENT.finditer(key):
        if match.start() != end:
            return ()
        quoted, bare, index = match.groups()
        parts.append(int(index) if index is not None else bare if quoted is None else quoted)
        end = match.end()
    return tuple(parts) if end == len(key) else ()


def _matched(root: Node, segments: Sequence[str]) -> Loc:
    """Return the path that a variable's *segments* mean: upper case and ``_`` stand for any case and any sign."""
    path: list[Part] = []
    node: Node | None = root
    for segment in segments:
        known = node.value if node is not None and isinstance(node.value, dict) else {}
        alike = [key for key in known if re.sub(r"\W", "_", key).lower() == segment.lower()]
        part = segment if segment in known else alike[0] if len(alike) == 1 else segment.lower()
        path.append(part)
        node = known.get(part)
    return tuple(path)
