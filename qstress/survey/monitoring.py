"""``qstress survey --monitoring FILE``: somebody's monitoring as commands, to be surveyed alone (pure).

A line is an HMP line, ``qmp NAME {arguments}``, QMP as JSON, a ``virsh qemu-monitor-command`` with either, or a habit
of a tool by name (:data:`HABITS`), which stands for the commands that it sends. ``#`` begins a comment.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from qstress.errors import ConfigError
from qstress.survey.job import Surveyed
from qstress.survey.requests import Commands, Request, Step, parse_step

_STATS = ("qmp query-status", "qmp query-cpus-fast", 'qmp query-stats {"target":"vcpu"}', "qmp query-balloon",
          "qmp query-blockstats", "qmp query-named-block-nodes")  # fmt: skip
_DIRTY_RATE = ('qmp calc-dirty-rate {"calc-time":1}', "qmp query-dirty-rate")
#: What tools are known to send: libvirt's QEMU driver behind ``virsh``, and those that poll libvirt.
HABITS: dict[str, tuple[str, ...]] = {
    "collectd virt": _STATS,
    "prometheus-libvirt-exporter": _STATS,
    "virsh domblkstat": ("qmp query-blockstats",),
    "virsh domdirtyrate-calc": _DIRTY_RATE,
    "virsh dommemstat": ("qmp query-balloon", 'qmp qom-get {"path":"/machine","property":"type"}'),
    "virsh domstate": ("qmp query-status",),
    "virsh domstats": _STATS,
    "virsh dump --memory-only": ('qmp dump-guest-memory {"paging":false,"protocol":"file:%d@.elf"}',),
    "virsh inject-nmi": ("qmp inject-nmi",),
    "virsh reset": ("qmp system_reset",),
    "virsh screenshot": ('qmp screendump {"filename":"%s.ppm"}',),
    "virsh send-key": ('qmp send-key {"keys":[{"type":"qcode","data":"a"}]}',),
    "virsh shutdown": ("qmp system_powerdown",),
    "virsh snapshot-create": ("savevm s@",),
    "virsh suspend": ("qmp stop", "qmp cont"),
    "virsh vcpuinfo": ("qmp query-cpus-fast",),
}
_VIRSH = "virsh qemu-monitor-command"


def parse_monitoring(text: str, source: str) -> list[Step]:
    """Return the commands that *text* means, each once, in order.

    :param source: what errors call it.
    :raises ConfigError: a line means nothing, or there is none.
    """
    steps: dict[Step, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if told := line.partition("#")[0].strip():
            try:
                steps.update(dict.fromkeys(_steps(told)))
            except ValueError as error:
                raise ConfigError(f"{source}:{number}: {error}") from error
    if not steps:
        raise ConfigError(f"{source}: no command; a line is an HMP line, qmp NAME {{…}}, or one of {', '.join(HABITS)}")
    return list(steps)


def _steps(line: str) -> Iterator[Step]:
    for habit, texts in HABITS.items():
        if line == habit or line.startswith(f"{habit} "):
            yield from map(parse_step, texts)
            return
    if line.startswith(_VIRSH):
        words = shlex.split(line)[2:]
        hmp = "--hmp" in words
        words = [word for word in words if not word.startswith("--")]
        if len(words) < 2:
            raise ValueError("a domain and a command are expected after qemu-monitor-command")
        line = " ".join(words[1:])
        if not hmp and not line.startswith("{"):
            raise ValueError("a QMP command is expected as JSON, or --hmp")
    elif line.startswith("virsh "):
        raise ValueError(f"not a habit that is known; known are {', '.join(HABITS)}")
    yield _json_step(line) if line.startswith("{") else _checked(parse_step(line))


def _json_step(line: str) -> Step:
    try:
        message = json.loads(line)
        name, arguments = message.get("execute") or message["exec-oob"], message.get("arguments", {})
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError('not {"execute": NAME, "arguments": {…}}') from error
    if name == "human-monitor-command":
        return Step(str(arguments.get("command-line", "")))
    return Step(str(name), json.dumps(arguments))


def _checked(step: Step) -> Step:
    if step.arguments is not None:
        try:
            json.loads(step.arguments)
        except ValueError as error:
            raise ValueError(f"the arguments are no JSON: {error}") from error
    return step


def chosen(commands: Commands, steps: list[Step]) -> list[Surveyed]:
    """Return *steps* as what is to be surveyed: each as it stands, or, where QEMU refuses that, by a recipe of the same
    command."""
    todo = []
    for step in steps:
        via = "hmp" if step.arguments is None else "qmp"
        name = _name(commands, step)
        own = Request(name, via, step, generated=True)
        others = [way for ways in commands.requests(via, name) for way in ways]
        todo.append(Surveyed(via, name, [own, *others], step.text))
    return todo


def _name(commands: Commands, step: Step) -> str:
    if step.arguments is not None:
        return step.command
    words = step.command.split()
    two = " ".join(words[:2])
    return two if two in commands.hmp.commands else words[0].partition("/")[0]
