"""The leaf types of the configuration with a form of their own: durations, sizes, rates, phases, addresses, …

By hand on purpose: a size is what QEMU takes for one (``32M`` is 2^25 bytes, as for ``-m``), not 32 million; and a rate
or a phase is nobody else's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated

from qstress.config.checked import Checked, JsonSchema, any_text, boolean, closest, one_line, wrong
from qstress.config.tree import display
from qstress.model import ChurnSpec, FindingClass, Milestone, Rate

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_DURATION = r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d)"
_SIZE = r"([0-9]+)([KMGT])"
_PER_SECOND = r"([0-9]+(?:\.[0-9]+)?)/s"
_BURST = r"([0-9]+) +at +([a-z]+(?:\+[a-z]+)*)"
MAX_LANES = 1024
_MAX_CHURN_HZ = 100_000.0
_MAX_BURST = 100_000
_MAX_STORM_S = 0.2
_MAX_WEIGHT = 1000


def _quantity(value: object, pattern: str, what: str) -> re.Match[str]:
    match = re.fullmatch(pattern, value) if isinstance(value, str) and len(value) <= 40 else None
    if match is None:
        bare = type(value) in (int, float) or isinstance(value, str) and re.fullmatch(r"[0-9.]+", value)
        raise wrong(f"{display(value)} has no unit; it must be {what}" if bare else f"{display(value)} is not {what}")
    return match


def duration_s(value: object) -> float:
    """Return the seconds of a duration such as ``2ms``, ``30s`` or ``8h``."""
    number, unit = _quantity(value, _DURATION, "a duration such as 2ms, 30s, 10m or 8h").groups()
    seconds = round(float(number) * _SECONDS[unit], 12)  # 100us is 0.0001, not 9.999999999999999e-05
    if not 0 < seconds <= 365 * _SECONDS["d"]:
        raise wrong(f"{display(value)} is not above 0 and at most 365d")
    return seconds


def size_bytes(value: object) -> int:
    """Return the bytes of a size such as ``32M``; K, M, G and T are powers of 1024, as in QEMU's own options."""
    number, unit = _quantity(value, _SIZE, "a size such as 512K, 32M or 4G").groups()
    size = int(number) * _BYTES[unit]
    if not 2**20 <= size <= 2**44:
        raise wrong(f"{display(value)} is not from 1M to 16T")
    return size


def hammer_rate(value: object) -> Rate:
    """Return the pace that ``max``, ``500/s`` or ``every 2ms`` means."""
    words = " ".join(value.split()) if isinstance(value, str) else value
    if words == "max":
        return Rate(None, "max")
    if isinstance(words, str) and words.startswith("every "):
        interval_s = duration_s(words.removeprefix("every "))
    else:
        per_s = float(_quantity(words, _PER_SECOND, "a rate: max, 500/s or every 2ms").group(1))
        interval_s = 1 / per_s if per_s > 0 else 0.0
    if not 1e-6 <= interval_s <= 3600:
        raise wrong(f"{display(value)} is not from one command an hour to 1000000/s")
    return Rate(interval_s, str(words))


def phase(value: object) -> Milestone:
    """Return the milestone of a boot that a phase's name means."""
    names = {milestone.name.lower(): milestone for milestone in Milestone}
    if not isinstance(value, str) or value not in names:
        hint = closest(value, names) if isinstance(value, str) else ""
        raise wrong(f"{display(value)} is not a phase of a boot: {', '.join(names)}{hint}")
    return names[value]


def churn(value: object) -> ChurnSpec | None:
    """Return the churn that ``1000/s`` or ``200 at pci+checkin`` means; None for ``none``."""
    words = " ".join(value.split()) if isinstance(value, str) else value
    if words == "none":
        return None
    if isinstance(words, str) and (match := re.fullmatch(_BURST, words)):
        moves, phases = int(match[1]), match[2].split("+")
        if not 1 <= moves <= _MAX_BURST:
            raise wrong(f"{display(value)} is not 1 to {_MAX_BURST} moves")
        return ChurnSpec(words, burst=moves, at=tuple(dict.fromkeys(map(phase, phases))))
    what = "churn: none, 1000/s, or 200 at pci"
    rate_hz = float(_quantity(words, _PER_SECOND, what)[1])
    if not 0 < rate_hz <= _MAX_CHURN_HZ:
        raise wrong(f"{display(value)} is not above 0 and at most {_MAX_CHURN_HZ:.0f} moves a second")
    return ChurnSpec(str(words), rate_hz=rate_hz)


def storm_s(value: object) -> float:
    """Return the seconds of a storm, in which the guest's console is silent: too long would look like a hang."""
    seconds = duration_s(value)
    if seconds > _MAX_STORM_S:
        raise wrong(f"{display(value)} is longer than {_MAX_STORM_S * 1000:.0f}ms")
    return seconds


def mix(value: object) -> tuple[tuple[str, int], ...]:
    """Return the lines and weights of a mapping such as ``{info registers -a: 8, info lapic: 1}``."""
    if not isinstance(value, Mapping):
        raise wrong(f"{display(value)} is not a mapping of commands to weights")
    if not value:
        raise wrong("is empty; name at least one command")
    for command, weight in value.items():
        one_line(command)
        if type(weight) is not int or not 1 <= weight <= _MAX_WEIGHT:
            raise wrong(f"{display(weight)} is not a whole number from 1 to {_MAX_WEIGHT}", (command,))
    return tuple(value.items())


def canonical_json(value: object) -> str:
    """Return the canonical JSON text of a mapping: the arguments of a QMP command."""
    if not isinstance(value, Mapping):
        raise wrong(f"{display(value)} is not a mapping of a command's arguments")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def weight(value: object) -> float:
    """Check a weight: how often something is drawn, compared with others; 0 for never."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_WEIGHT:
        raise wrong(f"{display(value)} is not a number from 0 to {_MAX_WEIGHT}")
    return float(value)


def finding_classes(value: object) -> tuple[FindingClass, ...] | None:
    """Return the classes of a list such as ``[lost-init]``, or None for ``all``."""
    if value == "all":
        return None
    known = [finding.value for finding in FindingClass]
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise wrong("is empty; name at least one class, or write all")
    for index, entry in enumerate(entries):
        if entry not in known:
            hint = closest(entry, known) if isinstance(entry, str) else ""
            raise wrong(f"{display(entry)} is neither all nor one of: {', '.join(known)}{hint}", (index,))
        if entry in entries[:index]:
            raise wrong(f"{display(entry)} is listed twice", (index,))
    return tuple(FindingClass(str(entry)) for entry in entries)


def address(value: object) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9797`` or ``[::1]:9797``; port 0 takes a free one."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):([0-9]{1,5})", one_line(value))
    if match is None or int(match.group(2)) > 65535:
        raise wrong(f"{display(value)} is not an address such as 127.0.0.1:9797")
    return match.group(1).strip("[]"), int(match.group(2))


def scheduler(value: object) -> str:
    """Return the address of a scheduler of dask's. It runs what it is sent, so beyond this machine it needs tls://."""
    text = one_line(value)
    match = re.fullmatch(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})", text)
    if match is None or int(match.group(3)) > 65535:
        raise wrong(f"{display(value)} is not a scheduler such as tls://host:8786")
    scheme, host = match.group(1), match.group(2).strip("[]")
    if scheme == "tcp" and host not in ("localhost", "::1") and not re.fullmatch(r"127(\.[0-9]{1,3}){3}", host):
        raise wrong(f"{display(value)} is beyond this machine, where anybody could run anything: needs tls://")
    return text


def lanes(value: object) -> int | None:
    """Return a number of lanes, or None for ``auto``. The option ``--lanes``, being either, comes as text."""
    if value == "auto":
        return None
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}", value):
        value = int(value)
    if type(value) is not int or not 1 <= value <= MAX_LANES:
        raise wrong(f"{display(value)} is neither auto nor a whole number from 1 to {MAX_LANES}")
    return value


def or_zero(check: Callable[[object], float]) -> Callable[[object], float]:
    """Return *check* for values that may also be 0: not at all."""
    return lambda value: 0.0 if type(value) is int and value == 0 else check(value)


settle_s, budget_s = or_zero(storm_s), or_zero(duration_s)

_SECONDS_TEXT: JsonSchema = {"type": "string", "pattern": f"^{_DURATION}$"}
_SECONDS_OR_ZERO: JsonSchema = {"anyOf": [{"const": 0}, _SECONDS_TEXT]}

Text = Annotated[str, Checked(one_line, {"type": "string", "minLength": 1})]
AnyText = Annotated[str, Checked(any_text, {"type": "string"})]
Boolean = Annotated[bool, Checked(boolean, {"type": "boolean"})]
Duration = Annotated[float, Checked(duration_s, _SECONDS_TEXT)]
Budget = Annotated[float, Checked(budget_s, _SECONDS_OR_ZERO)]
Weight = Annotated[float, Checked(weight, {"type": "number", "minimum": 0, "maximum": _MAX_WEIGHT})]
Size = Annotated[int, Checked(size_bytes, {"type": "string", "pattern": f"^{_SIZE}$"})]
Pace = Annotated[Rate, Checked(hammer_rate, {"type": "string", "pattern": f"^(max|{_PER_SECOND}|every +{_DURATION})$"})]
Phase = Annotated[Milestone, Checked(phase, {"enum": [milestone.name.lower() for milestone in Milestone]})]
Churn = Annotated[ChurnSpec | None, Checked(churn, {"type": "string", "pattern": f"^(none|{_PER_SECOND}|{_BURST})$"})]
Storm = Annotated[float, Checked(storm_s, _SECONDS_TEXT)]
Settle = Annotated[float, Checked(settle_s, _SECONDS_OR_ZERO)]
Mix = Annotated[
    tuple[tuple[str, int], ...],
    Checked(mix, {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "integer", "minimum": 1, "maximum": _MAX_WEIGHT},
    }),
]  # fmt: skip
Arguments = Annotated[str, Checked(canonical_json, {"type": "object"})]
Classes = Annotated[
    tuple[FindingClass, ...] | None,
    Checked(finding_classes, {
        "anyOf": [
            {"enum": ["all", *(finding.value for finding in FindingClass)]},
            {"type": "array", "minItems": 1, "items": {"enum": [finding.value for finding in FindingClass]}},
        ]
    }),
]  # fmt: skip
Address = Annotated[tuple[str, int], Checked(address, {"type": "string"})]
Scheduler = Annotated[str, Checked(scheduler, {"type": "string", "pattern": "^(tcp|tls)://.+:[0-9]+$"})]
Lanes = Annotated[
    int | None,
    Checked(lanes, {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_LANES}]}),
]
