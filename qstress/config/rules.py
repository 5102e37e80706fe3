"""The rules between sections of a configuration that is valid section by section (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qstress.config.schema import Config, GateEntry
from qstress.config.settings import LAST_GOOD
from qstress.config.tree import Loc, display
from qstress.firmware import BY_NAME, firmware_named
from qstress.firmware.base import Firmware

#: Trials of a process-run with ``restart: reset``, where the file does not say.
PROCESS_TRIALS = 100
#: What a guest has that boots a kernel, where the file does not say; and with less than this none comes up.
LINUX_BYTES, LINUX_LEAST_BYTES = 256 << 20, 128 << 20


def broken(config: Config) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong between the sections of *config*, each with the place of the key to change."""
    for rule in (_stop, _gate, _hold, _restart, _observe, _storm, _flash, _linux, _places, _hosts):
        yield from rule(config)


def process_trials(config: Config) -> int:
    """Return how many trials a process-run has."""
    return 1 if config.guest.restart == "process" else config.guest.process_trials or PROCESS_TRIALS


def arms(config: Config) -> tuple[str, ...]:
    """Return the names of what a run compares, or only counts apart: its hosts where it has several, else builds."""
    return tuple(config.hosts or config.builds)


def guest_kind(config: Config) -> Firmware:
    """Return what the guests boot: their firmware, with a kernel behind it or without."""
    return firmware_named(config.guest.firmware, with_kernel=config.guest.linux is not None)


def gated_build(config: Config) -> str | None:
    """Return the build that ``gate``, if any, is about: named, or compare's only candidate, or the only build."""
    if config.gate is None:
        return None
    candidates = config.compare.candidate if config.compare else arms(config)
    return config.gate.build or (candidates[0] if len(candidates) == 1 else None)


def stop_problems(
    trials: int | None, duration_s: float | None, decided: bool, *, builds: int, process_trials: int, decidable: bool
) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong with a stop rule.

    :param builds: how many there are; *process_trials*: trials of a process-run.
    :param decidable: whether the run asks anything that its own trials can decide.
    """
    if trials is None and duration_s is None and not decided:
        yield ("stop",), "nothing would end this run; add for example  stop: {trials: 400, duration: 10m}"
    block = builds * process_trials
    if trials is not None and trials < block:
        runs = "" if process_trials == 1 else f" have in one process-run each: {block}"
        yield ("stop", "trials"), f"{trials} is fewer than the {builds} builds{runs}"
    if decided and not decidable:
        yield ("stop", "decided"), "needs compare, or gate with max_hang_rate: there is nothing to decide"


def _stop(config: Config) -> Iterator[tuple[Loc, str]]:
    stop = config.stop
    yield from stop_problems(
        stop.trials, stop.duration, stop.decided, builds=len(arms(config)), process_trials=process_trials(config),
        decidable=config.compare is not None or _asks_now(config),
    )  # fmt: skip


def _asks_now(config: Config) -> bool:
    """Whether the gate, if any, asks something that this run's own trials can answer."""
    gate = config.gate
    return gate is not None and (gate.max_hang_rate is not None or _rests_on_compare(gate))


def _rests_on_compare(gate: GateEntry) -> bool:
    return gate.better_than is not None or gate.baseline not in (None, LAST_GOOD)


def _hold(config: Config) -> Iterator[tuple[Loc, str]]:
    if config.compare is None or config.hosts:
        return
    baseline = config.compare.baseline
    for candidate in config.compare.candidate:
        if config.builds[candidate].hold != config.builds[baseline].hold:
            yield ("builds", candidate), f"must have the same hold as {baseline}, or the comparison says nothing"


def _restart(config: Config) -> Iterator[tuple[Loc, str]]:
    guest = config.guest
    if guest.restart == "process":
        if guest.process_trials is not None:
            yield ("guest", "process_trials"), "needs restart: reset; with restart: process each trial has its own"
        return
    for name, build in config.builds.items():
        if build.inject and build.inject.lost_ap and not (guest_kind(config).loses_aps_itself and guest.linux is None):
            these = _firmware(lambda each: each.loses_aps_itself)
            yield ("builds", name, "inject"), f"needs firmware: {these}, or restart: process: a reset cannot repeat it"


def _storm(config: Config) -> Iterator[tuple[Loc, str]]:
    guest, kind = config.guest, guest_kind(config)
    if guest.storm is not None and (not kind.storms or guest.restart != "reset"):
        yield ("guest", "storm"), f"needs firmware: {_firmware(lambda each: each.storms)} and restart: reset"
    if guest.settle is not None and kind.settle_s is None:
        yield ("guest", "settle"), f"needs firmware: {_firmware(lambda each: each.settle_s is not None)}"
    if guest.placement != "none" and any(config.churn):
        yield ("churn",), f"cannot be with placement: {guest.placement}, which it would undo"


def _flash(config: Config) -> Iterator[tuple[Loc, str]]:
    guest, kind = config.guest, firmware_named(config.guest.firmware)
    if guest.pflash is not None and not kind.flash:
        yield ("guest", "pflash"), f"needs firmware: {_firmware(lambda each: each.flash)}"
    least = kind.least_memory_bytes
    if "memory" in guest.model_fields_set and guest.memory < least:
        yield ("guest", "memory"), f"is too little for {kind.name}, which then never begins; {least >> 20}M is enough"


def _linux(config: Config) -> Iterator[tuple[Loc, str]]:
    """A kernel wants memory, and a firmware that boots one; which one alone is of no use without it."""
    guest, firmware = config.guest, firmware_named(config.guest.firmware)
    if guest.linux is None:
        if firmware.needs_kernel:
            yield ("guest", "linux"), f"is missing: firmware {guest.firmware} does nothing but boot a kernel"
        return
    if firmware.resets_itself:
        yield ("guest", "linux"), f"cannot be with firmware {guest.firmware}, which boots nothing"
    if "memory" in guest.model_fields_set and guest.memory < LINUX_LEAST_BYTES:
        least_mib = LINUX_LEAST_BYTES >> 20
        yield ("guest", "memory"), f"is too little for a Linux kernel; give it {least_mib}M, or leave it out"
    if guest.linux.rounds and guest.linux.initrd != "auto":
        yield ("guest", "linux", "rounds"), "needs initrd: auto, whose program does that"


def _observe(config: Config) -> Iterator[tuple[Loc, str]]:
    """What can be judged from the monitor alone: boots in processes of their own, by whole dumps, where these tell."""
    if config.observe == "console":
        return
    if not guest_kind(config).dumps_tell or config.guest.restart == "reset":
        others = _firmware(lambda each: not each.dumps_tell)
        yield ("observe",), f"none: needs a firmware other than {others}, no linux, and restart: process"
    if not any(hammer.via == "hmp" and hammer.command == "info registers -a" for hammer in config.hammer):
        yield ("observe",), "none: needs a hammer that sends info registers -a, whose replies are all there is to judge"
    for name, build in config.builds.items():
        if build.inject and build.inject.lost_ap:
            yield ("builds", name, "inject"), "needs observe: console; the fault is made in a guest that starts paused"


def _places(config: Config) -> Iterator[tuple[Loc, str]]:
    """Trials run in one kind of place, and a guest where it can."""
    if (config.host is not None or config.hosts) and guest_kind(config).flash:
        place = "host" if config.host is not None else "hosts"
        yield (place,), f"cannot be with {config.guest.firmware} yet: the outer QEMU's TCG aborts at its CR8 writes"
    if config.fleet is not None and config.workers != 1:
        yield ("workers",), "cannot be with fleet: the scheduler's workers are those that there are"
    if config.host is not None and (config.fleet is not None or config.workers != 1):
        yield ("host",), "cannot be with workers or fleet: trials run there, in one process"


def _hosts(config: Config) -> Iterator[tuple[Loc, str]]:
    """Several hosts are what is compared: one build runs on each."""
    if not config.hosts:
        return
    if config.host is not None or config.fleet is not None or config.workers != 1:
        yield ("hosts",), "cannot be with host, workers or fleet: trials run on these hosts alone"
    if len(config.hosts) < 2:
        yield ("hosts",), "has one host and nothing to compare it with; add a second one, or write host: instead"
    if len(config.builds) != 1:
        count = len(config.builds)
        yield ("builds",), f"must be one, for hosts are compared, and there are {count}; to compare builds write host:"
    compare, gate = config.compare, config.gate
    named = [(("compare", "baseline"), compare.baseline)] if compare else []
    named += [(("compare", "candidate"), name) for name in (compare.candidate if compare else ())]
    named += [(("gate", key), getattr(gate, key)) for key in ("build", "better_than", "baseline") if gate]
    example = f"{{host: {next(iter(config.hosts))}}}"
    for loc, name in named:
        if name not in (None, LAST_GOOD, *config.hosts):
            yield loc, f"{display(name)} is a build; with hosts these are compared: {example}"


def _gate(config: Config) -> Iterator[tuple[Loc, str]]:
    gate, compare = config.gate, config.compare
    if gate is None:
        return
    build = gated_build(config)
    if build is None:
        yield ("gate", "build"), "is missing; say which build must pass"
        return
    if gate.baseline == LAST_GOOD and LAST_GOOD in arms(config):
        yield ("gate", "baseline"), f"could be the build {LAST_GOOD} or an earlier run; give that build another name"
    for key, name in (("better_than", gate.better_than), ("baseline", gate.baseline)):
        if name is None or name == LAST_GOOD:
            continue
        if compare is None or compare.baseline != name or build not in compare.candidate:
            missing = f"compare: {{baseline: {name}, candidate: {build}}}"
            yield ("gate", key), f"{display(name)} has to be compared with; add  {missing}"
    if compare is None or compare.classes is None or gate.classes is None:
        return
    if _rests_on_compare(gate) and set(compare.classes) != set(gate.classes):
        yield ("gate", "classes"), "must be those of compare, on which this gate rests; leave one of them out"


def _firmware(fits: Callable[[Firmware], bool]) -> str:
    """The names of the firmware that *fits*, to choose from."""
    return " or ".join(name for name, kind in BY_NAME.items() if fits(kind))
