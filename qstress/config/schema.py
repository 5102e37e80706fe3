"""The configuration file as the user writes it: frozen models, version 1, every default in its place.

Rules that concern one section stand here; those between sections are in ``rules``, those that need the host in
``resolve``. The names in ``compare`` and ``gate`` are checked against the builds while validating, through the
validation context ``{"builds": [names]}``, so that a typo there is shown together with all other problems.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from qstress.config import units
from qstress.config.checked import Checked, OneOrMore, among, closest, fraction, named, nonempty_text, whole, wrong
from qstress.config.settings import LAST_GOOD
from qstress.config.tree import Node, Position, display
from qstress.config.units import Text
from qstress.firmware import BY_NAME, OVMF, SEABIOS
from qstress.model import Kick

_NAME = named("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits and . _ - (at most 64, the first no sign)")
#: Marks, between two validators, the name of a host: no name has a colon.
_HOST = "host:"

Version: TypeAlias = Literal[1]
AccelWord: TypeAlias = Literal["auto", "kvm", "tcg"]
PlacementWord: TypeAlias = Literal["none", "bsp-alone", "spread"]
RestartWord: TypeAlias = Literal["process", "reset"]
ObserveWord: TypeAlias = Literal["console", "none"]
ViaWord: TypeAlias = Literal["hmp", "qmp", "kick"]
KvmSmmWord: TypeAlias = Literal["real", "auto", "pretend"]
WritebackWord: TypeAlias = Literal["as-is", "reset-only"]
ExchangeWord: TypeAlias = Literal[
    "qmp", "hmp", "corpus", "lifecycle", "hammer", "corrupt", "pieces", "interleaved", "reconnect"
]
InjectAccelWord: TypeAlias = Literal["any", "tcg"]
FaultWord: TypeAlias = Literal["never-woken", "later-round", "woken-late", "replayed"]


def _arm_word(value: object) -> str:
    """Check a build's name, or ``{host: NAME}``."""
    if not isinstance(value, dict):
        return str(_NAME.check(value))
    if list(value) != ["host"]:
        raise wrong(f"{display(value)} is neither the name of a build nor {{host: NAME}}")
    return f"{_HOST}{_NAME.check(value['host'])}"


def _known_baseline(name: str, info: ValidationInfo) -> str:
    return name if name == LAST_GOOD else _known_arm(name, info)


def _known_arm(word: str, info: ValidationInfo) -> str:
    kind, name = ("host", word.removeprefix(_HOST)) if word.startswith(_HOST) else ("build", word)
    known = (info.context or {}).get(f"{kind}s")
    if known is not None and name not in known:
        there = f"; there are: {', '.join(known)}" if known else f"; add  {kind}s: {{{name}: …}}"
        raise wrong(f"there is no {kind} {display(name)}{closest(name, known) or there}")
    return name


_HOST_ARM = {
    "type": "object",
    "properties": {"host": _NAME.json_schema},
    "required": ["host"],
    "additionalProperties": False,
}
_ARM = Checked(_arm_word, {"anyOf": [_NAME.json_schema, _HOST_ARM]})
Name = Annotated[str, _NAME]
#: What is compared with each other: builds, or, in a run on several, hosts. Its name once read.
ArmName = Annotated[str, _ARM, AfterValidator(_known_arm)]
GateBaseline = Annotated[str, _ARM, AfterValidator(_known_baseline)]
EnvName = Annotated[str, named("[A-Za-z_][A-Za-z0-9_]{0,254}", "letters, digits and _, no digit first")]
Machine = Annotated[str, named(r"[A-Za-z0-9][^\s]{0,199}", "a machine as QEMU's -machine takes it, such as pc or q35")]
Share = Annotated[float, fraction(inclusive=True)]
OpenShare = Annotated[float, fraction(inclusive=False)]
Smp = Annotated[int, whole(1, 4096)]
Trials = Annotated[int, whole(1, 10**9)]
Seed = Annotated[int, whole(0, 2**63 - 1)]


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing mutable, defaults checked like anything else."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def written(value: object, description: str, *, alias: str | None = None) -> Any:
    """Return a field whose default is *value* in the form that users write, to be checked like theirs."""
    return Field(value, description=description, alias=alias)


class InjectEntry(Section):
    """A fault that looks like a lost AP, for hosts where the real race cannot occur."""

    lost_ap: Share = Field(description="share of the trials, 0 to 1")
    accel: Annotated[InjectAccelWord, among(InjectAccelWord)] = written(
        "any", "inject under any accelerator, or only under tcg"
    )
    fault: Annotated[FaultWord, among(FaultWord)] = written(
        "never-woken", "what is done to the AP; others than this one with ovmf, under tcg"
    )


class HoldEntry(Section):
    """How long the interposer keeps an AP that waits for its INIT; raises the odds of the race (tier T2)."""

    write: units.Duration | None = written(None, "between reading its state and writing it back (lost-init)")
    read: units.Duration | None = written(None, "before reading its state (replayed-init)")
    until_checkin: units.Duration | None = written(
        None, "at most so long, the first AP about to be written back until another one has been woken"
    )


class BuildEntry(Section):
    """One QEMU under test."""

    binary: Text = Field(description="a name on PATH, or a path (relative to this file's folder)")
    args: tuple[Text, ...] = written((), "appended to this build's command line")
    env: dict[EnvName, units.AnyText] = written({}, "added to this build's environment")
    kvm_smm: Annotated[KvmSmmWord, among(KvmSmmWord)] = written(
        "real", "pretend: tell QEMU that KVM has SMM; auto: only where it has none"
    )
    smm_writeback: Annotated[WritebackWord, among(WritebackWord)] = written(
        "as-is", "reset-only: imitate the upstream fix on any binary"
    )
    hold: Annotated[HoldEntry | None, BeforeValidator(lambda value: None if value == 0 else value)] = written(
        None, "keep APs between the reading and the writing back of their state"
    )
    inject: InjectEntry | None = written(None, "inject a fault instead of waiting for the race")


class PflashEntry(Section):
    """A pair of flash images."""

    code: Text = Field(description="the firmware (relative to this file's folder)")
    vars: Text = Field(description="the template of its variables; each guest has a copy of its own")


def _linux_word(value: object) -> object:
    """Turn a kernel's word alone into a mapping."""
    return {"kernel": nonempty_text(value)} if isinstance(value, (str, int, float)) else value


class LinuxEntry(Section):
    """A Linux kernel that the guests boot behind their firmware."""

    kernel: Text = written(
        "auto", "auto: the newest that qstress host fetch brought; a version such as 6.12; or a path"
    )
    initrd: Text = written("auto", "auto: our own, which reports the CPUs; or a path: then the kernel's word has to do")
    append: units.AnyText = written("", "appended to the kernel's command line")
    rounds: Annotated[int, whole(0, 10**6)] = written(0, "how often all CPUs but the first are taken off and on again")


class GuestEntry(Section):
    """What every build boots."""

    accel: Annotated[AccelWord, among(AccelWord)] = written("auto", "auto: kvm where it can be used")
    machine: OneOrMore[Machine] = written("pc", "one or a list (an axis)")
    smp: OneOrMore[Smp] = written(4, "number of vCPUs, one or a list (an axis)")
    memory: units.Size = written("32M", f"the guest's memory; if not set, with {OVMF.name} 64M, with linux 256M")
    firmware: Text = written(SEABIOS.name, f"{', '.join(BY_NAME)}, or a path to a BIOS image")
    pflash: PflashEntry | None = written(None, f"with {OVMF.name}: another one than the host's own")
    linux: Annotated[LinuxEntry | None, BeforeValidator(_linux_word)] = written(
        None, "a kernel that is booted behind the firmware; auto, a version or a path, or a mapping"
    )
    restart: Annotated[RestartWord, among(RestartWord)] = written(
        "process", "how the next trial of a lane begins: by a new process, or by a reset in place"
    )
    process_trials: Annotated[int, whole(2, 10**6)] | None = written(
        None, "with restart: reset, how many trials of a build run one after another; 100 by default"
    )
    storm: units.Storm | None = written(
        None, "with smpscan and restart: reset, how long CPUs interrupt each other after each bring-up"
    )
    settle: units.Settle | None = written(
        None, "with smpscan, how long the hammer has before INIT; where KVM is hammered 5ms by default"
    )
    args: tuple[Text, ...] = written((), "appended to every QEMU command line")
    placement: Annotated[PlacementWord, among(PlacementWord)] = written(
        "none", "bsp-alone: the boot CPU alone on one core, more hangs; spread: vCPUs over the cores in turn"
    )


class HammerEntry(Section):
    """One paced stream of monitor commands."""

    command: Text | None = written(
        None, f"an HMP line (K: a vCPU drawn each time), a QMP command's name, or a kick: {', '.join(Kick)}"
    )
    mix: units.Mix | None = written(None, "instead of command: HMP lines with weights, one is drawn each time")
    via: Annotated[ViaWord, among(ViaWord)] = written("hmp", "which monitor language, or kick")
    rate: OneOrMore[units.Pace] = written("max", "max, 500/s, every 2ms; or a list (an axis)")
    start: units.Phase = written("start", "the phase of the boot that begins it", alias="from")
    until: units.Phase = written("boot", "the phase of the boot that ends it")
    arguments: units.Arguments = written({}, "the arguments of a QMP command")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start >= self.until:
            phases = f"{self.start.name.lower()} is not before {self.until.name.lower()}"
            raise wrong(f"{phases}: this hammer would never send", ("until",) if self._has("until") else ("from",))
        if self.via != "qmp" and self._has("arguments"):
            raise wrong("only a QMP command takes arguments; write them into the command, or via: qmp", ("arguments",))
        if self.mix is not None and (self.command is not None or self.via != "hmp"):
            raise wrong("stands instead of command, and with via: hmp only", ("mix",))
        if self.mix is None and self.command is None:
            raise wrong("is missing; this key is required", ("command",))
        if self.via == "qmp" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", self.command or ""):
            raise wrong(
                f"{display(self.command)} is not the name of a QMP command; via: hmp takes a line", ("command",)
            )
        if self.via == "kick" and self.command not in list(Kick):
            hint = closest(self.command or "", Kick)
            raise wrong(f"{display(self.command)} is not one of: {', '.join(Kick)}{hint}", ("command",))
        return self

    def _has(self, key: str) -> bool:
        return key in self.model_fields_set


class StopEntry(Section):
    """When a run ends: whichever comes first."""

    trials: Trials | None = written(None, "after so many trials in all")
    duration: units.Duration | None = written(None, "after so long")
    decided: units.Boolean = written(
        False,
        "once compare has named the better build; with gate.max_hang_rate, once the gated build is shown "
        "to be below that and compare's baseline above it (or the gated build is)",
    )


class CompareEntry(Section):
    """Which builds are compared, and how sure a decision must be."""

    baseline: ArmName = Field(description="the build that the others are compared with, or {host: NAME}")
    candidate: OneOrMore[ArmName] = Field(description="one or a list")
    alpha: OpenShare = written(1e-6, "the chance of a wrong decision that is accepted")
    confidence: OpenShare = written(0.95, "of the shown intervals")
    classes: units.Classes = written("all", "which findings decide: all, or a list such as [lost-init]")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline in self.candidate:
            at = ("candidate", self.candidate.index(self.baseline))
            raise wrong(f"{display(self.baseline)} is also the baseline; a build cannot be compared with itself", at)
        return self


class GateEntry(Section):
    """What makes the run pass or fail."""

    build: ArmName | None = written(None, "the build that must pass; default: compare's candidate")
    max_hang_rate: Share | None = written(
        None, "highest rate that passes; the build must be shown to be below it, in each cell"
    )
    classes: units.Classes = written("all", "which findings count: all, or a list such as [lost-init]")
    better_than: ArmName | None = written(None, "the build that must be shown to be worse")
    baseline: GateBaseline | None = written(
        None,
        "what must not be shown to be better: a build, or last-good, the newest run of this very "
        "configuration in runs_dir that passed",
    )
    min_trials: Trials | None = written(None, "valid trials in each cell of the build without which none passes")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_hang_rate is None and self.better_than is None and self.baseline is None:
            raise wrong("checks nothing; add max_hang_rate: 0.01, or better_than: and a build, or baseline: last-good")
        if self.build is not None and self.build == self.better_than:
            raise wrong(f"{display(self.build)} cannot be better than itself", ("better_than",))
        if self.build is not None and self.build == self.baseline:
            raise wrong(f"{display(self.build)} cannot be its own baseline", ("baseline",))
        return self


class MetricsEntry(Section):
    """Where metrics can be read."""

    listen: units.Address | None = written(None, "serve them here, for example 127.0.0.1:9797")
    textfile: Text | None = written(None, "write them here, for the node exporter's textfile collector")


class RecordEntry(Section):
    """How much of what is found is kept."""

    max_bytes: units.Size | None = written(
        None, "of evidence folders; when they hold this much, further findings are rows alone"
    )


class EmulatedEntry(Section):
    """A KVM host in emulation (docs/background/emulated-hosts.md, "As qstress does it")."""

    kernel: Text = written("auto", "auto: the distribution's default; a version such as 6.12; or a path")
    cpus: Annotated[int, whole(1, 64)] = written(2, "its CPUs")
    memory: units.Size = written("3G", "its memory")


def _host_word(value: object) -> object:
    """Turn ``emulated`` and ``emulated:KERNEL``, as ``--host`` takes them, into a mapping; ``this`` is None."""
    if not isinstance(value, str):
        return value
    word, _, kernel = value.partition(":")
    if value != "this" and word != "emulated":
        raise wrong(f"{display(value)} is none of: this, emulated, emulated:KERNEL, {{emulated: …}}")
    return None if word == "this" else {"emulated": {"kernel": kernel} if kernel else {}}


class HostEntry(Section):
    """Where the guests run, if not on this machine."""

    emulated: EmulatedEntry = Field(description="on an emulated KVM host")


def _emulated_word(value: object) -> object:
    """Turn what ``host:`` takes into a mapping, too, but for this machine."""
    if (entry := _host_word(value)) is None:
        raise wrong("cannot be this machine: several hosts are emulated ones, such as emulated:6.12")
    return entry


class TlsEntry(Section):
    """The files with which a scheduler and its clients know each other."""

    ca: Text = Field(description="the certificate of who signs the others (PEM)")
    cert: Text = Field(description="our certificate (PEM)")
    key: Text = Field(description="our private key (PEM)")


class FleetEntry(Section):
    """An existing scheduler of dask's, whose workers run the trials."""

    scheduler: units.Scheduler = Field(description="tls://HOST:PORT, or on this machine tcp://HOST:PORT")
    tls: TlsEntry | None = written(None, "needed for tls:// (paths are relative to this file's folder)")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scheduler.startswith("tls") and self.tls is None:
            raise wrong("is missing: tls:// needs {ca: …, cert: …, key: …}", ("tls",))
        return self


class FuzzEntry(Section):
    """How the monitors of live guests are fuzzed."""

    guests: tuple[tuple[Text, ...], ...] = Field(
        ((),), min_length=1, description="lists of QEMU arguments; each guest gets one of them, drawn"
    )
    commands: Annotated[int, whole(1, 10**6)] = written(3000, "of one guest, after which the next starts")
    wrong: Share = written(0.3, "share of the commands with something wrong in their arguments")
    depth: Annotated[int, whole(1, 20)] = written(5, "how deep arguments nest at most")
    mix: dict[Annotated[ExchangeWord, among(ExchangeWord)], units.Weight] = written(
        {}, "how often each kind of exchange is drawn; those left out keep their default"
    )
    weights: dict[Text, units.Weight] = written(
        {}, "how often a command is drawn: a QMP name, or hmp and an HMP name; those left out keep theirs"
    )
    reply_s: units.Duration = written("10s", "a monitor that is silent for longer is stalled", alias="reply")
    reduce_s: units.Budget = written("60s", "how long a new finding is made smaller; 0: not at all", alias="reduce")
    known: Text | None = written(None, "a file of known findings (relative to this file's folder)")


class Config(Section):
    """The whole file."""

    version: Annotated[Version, among(Version)] = Field(description="of this file's format")
    name: Name = Field(description="names the run's folder and the metrics' config label")
    builds: dict[Name, BuildEntry] = Field(min_length=1, description="the QEMUs under test, by name")
    guest: GuestEntry = written({}, "what every build boots")
    hammer: tuple[HammerEntry, ...] = written(
        [{"command": "info registers -a", "via": "hmp", "rate": "max"}],
        "the streams of commands, all at once; [] for none (a control)",
    )
    host: Annotated[HostEntry | None, BeforeValidator(_host_word)] = written(
        None, "where guests run: this machine by default; emulated: on a KVM host in emulation"
    )
    hosts: dict[Name, Annotated[HostEntry, BeforeValidator(_emulated_word)]] = written(
        {}, "several emulated hosts, by name, which are compared instead of builds"
    )
    churn: OneOrMore[units.Churn] = written(
        "none", "how QEMU's threads are moved between cores: none, 1000/s, 200 at pci; or a list (an axis)"
    )
    stop: StopEntry = written({}, "when the run ends; at least one rule")
    compare: CompareEntry | None = written(None, "which builds are compared")
    gate: GateEntry | None = written(None, "what makes the run pass or fail")
    observe: Annotated[ObserveWord, among(ObserveWord)] = written(
        "console", "none: as production boots, judged from the monitor's replies alone (tier T0)"
    )
    lanes: units.Lanes = written("auto", "how many guests at once; auto: half the cores")
    workers: units.Lanes = written(1, "processes of qstress that share the lanes; auto: one for each 4 lanes")
    fleet: FleetEntry | None = written(None, "where guests run: on the workers of this scheduler of dask's")
    seed: Seed = written(1, "of everything random in the run")
    runs_dir: Text = written("runs", "where runs are recorded (relative to the current folder)")
    record: RecordEntry = written({}, "how much of what is found is kept")
    metrics: MetricsEntry = written({}, "where metrics can be read")
    fuzz: FuzzEntry = written({}, "how `qstress fuzz` fuzzes; a soak does not look at it")

    _origin: Node = PrivateAttr(Node(Position(0, 0, 0, "configuration"), {}))


#: The model of each section, by where it stands (``*``: any name or index), for "known keys" in messages.
SECTIONS: dict[tuple[str, ...], type[Section]] = {
    (): Config,
    ("builds", "*"): BuildEntry,
    ("builds", "*", "hold"): HoldEntry,
    ("builds", "*", "inject"): InjectEntry,
    ("guest",): GuestEntry,
    ("guest", "pflash"): PflashEntry,
    ("guest", "linux"): LinuxEntry,
    ("hammer", "*"): HammerEntry,
    ("host",): HostEntry,
    ("host", "emulated"): EmulatedEntry,
    ("hosts", "*"): HostEntry,
    ("hosts", "*", "emulated"): EmulatedEntry,
    ("fleet",): FleetEntry,
    ("fleet", "tls"): TlsEntry,
    ("stop",): StopEntry,
    ("compare",): CompareEntry,
    ("gate",): GateEntry,
    ("record",): RecordEntry,
    ("metrics",): MetricsEntry,
    ("fuzz",): FuzzEntry,
}


def schema_json() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a configuration file, in the forms that users write. Its ``$id`` is a name
    alone: it is fetched from nowhere."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:qstress:configuration:1",
        "title": "qstress configuration, version 1",
    }
    return head | Config.model_json_schema(mode="validation", by_alias=True) | head
