"""``qstress watch``: all QEMU guests of this host, looked at so that none is disturbed.

What judges is ``/proc`` alone (:mod:`qstress.verdict.outside`): a guest that raises no suspicion is never asked
anything. Only a lasting suspicion that the kernel does not settle goes to a monitor, where there is one, and then with
commands that make no vCPU write its state back (docs/background/cure-and-survey.md, "Which commands write a vCPU's
state back"): the run state, from QEMU 10.0 on the exits of each vCPU (0: it has never run), and registers under TCG
only, where there is nothing to write back to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from qstress.errors import ConfigError, GuestError, RigError
from qstress.guest.virsh import VirshMonitor
from qstress.host.explain import (
    Monitor,
    exits_of,
    explain_monitor,
    process_behind,
    qmp_monitor,
    vcpus_of,
)
from qstress.model import Accel, Confidence
from qstress.observe.guests import LocalGuest, local_guests, look_at
from qstress.verdict.explain.picture import DumpVerdict
from qstress.verdict.limits import OUTSIDE_S
from qstress.verdict.outside import LEAST_GAP_S, GuestState, Seen, Spell, seen_from_outside
from qstress.verdict.vcpu import cpu_names

_UNNAMED = Seen(
    GuestState.UNKNOWN,
    because=("its threads have no names, so that it is not known which of them are vCPUs",),
    ask_for=("QEMU's -name …,debug-threads=on, or its monitor: --qmp SOCK",),
)
#: Time between two register dumps of a suspect under TCG.
_GAP_S = 0.3
_NO_NEWS = (GuestState.OK, ())
_ASK = ("what the monitor says: --connect URI or --qmp SOCK (QEMU 10.0 or newer)", "qstress watch as root")


@dataclass(frozen=True, slots=True)
class WatchedGuest:
    """One guest, and what it shows."""

    guest: LocalGuest
    seen: Seen

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from every other process."""
        return self.guest.pid, self.guest.started

    @property
    def hung(self) -> bool:
        """Whether it is hung."""
        return self.seen.state is GuestState.HUNG

    @property
    def told(self) -> tuple[GuestState, tuple[int, ...]]:
        """What is news when it changes."""
        state = GuestState.OK if self.seen.state is GuestState.BOOTING else self.seen.state
        return state, self.seen.missing if self.hung else ()

    def document(self) -> dict[str, object]:
        """Return it as JSON-able values (docs/reference.md, "JSON of other commands")."""
        guest, seen = self.guest, self.seen
        return {
            "pid": guest.pid,
            "name": guest.name,
            "accel": str(guest.accel),
            "smp": len(guest.threads) or None,
            "state": str(seen.state),
            "confidence": str(seen.confidence),
            "missing": list(seen.missing),
            "spun_s": round(seen.spun_s, 3),
            "because": list(seen.because),
            "ask_for": list(seen.ask_for),
        }

    def text(self) -> str:
        """Return it for people: a line, the reasons below, and what would settle it."""
        guest, seen = self.guest, self.seen
        shape = f"{guest.accel}, {len(guest.threads) or 'unknown'} vCPUs"
        hung = f" ({seen.confidence}): {cpu_names(seen.missing)} never ran" if self.hung else ""
        lines = [f"{guest.name}  pid {guest.pid}  {shape}  {seen.state}{hung}"]
        lines += [f"  - {reason}" for reason in seen.because]
        lines += [f"  to settle it: {wish}" for wish in seen.ask_for]
        return "\n".join(lines)


@dataclass(slots=True)
class Watcher:
    """Looks at the guests again and again; remembers of each since when its boot CPU has spun.

    :param uri: of the libvirt that may be asked of suspects; None: none.
    :param sockets: QMP sockets that may be asked of those behind them.
    """

    uri: str | None = None
    sockets: Sequence[str] = ()
    patience_s: float = OUTSIDE_S
    find: Callable[[], Iterable[LocalGuest]] = local_guests
    _spells: dict[tuple[int, int], Spell] = field(default_factory=dict)
    _settled: dict[tuple[int, int, float], Seen] = field(default_factory=dict)
    _behind: dict[int, tuple[str, dict[int, int]]] = field(default_factory=dict)

    async def connect(self) -> None:
        """Learn which guests are behind the sockets, and their vCPU threads.

        :raises ConfigError: there is no such socket.
        :raises RigError: no QMP is spoken there, or its QEMU is not of this host.
        """
        for path in self.sockets:
            async with qmp_monitor(path) as (control, peer):
                try:
                    threads = {vcpu.index: vcpu.thread for vcpu in await vcpus_of(control)}
                except GuestError as error:
                    raise RigError(f"{path}: {error}", reason="no-monitor") from error
            pid, threads = process_behind(peer, threads)
            if not pid:
                raise RigError(f"{path}: its QEMU is not among this host's processes", reason="no-monitor")
            self._behind[pid] = (path, threads)

    async def look(self) -> tuple[WatchedGuest, ...]:
        """Look at every guest once, and return what each shows."""
        seen, spells = [], self._spells
        self._spells = {}
        for guest in self.find():
            if guest.pid in self._behind and not guest.threads:
                guest = self._named(guest)
            if guest.not_judged:
                seen.append(WatchedGuest(guest, Seen(GuestState.UNKNOWN, because=(guest.not_judged,))))
            elif not guest.threads:
                seen.append(WatchedGuest(guest, _UNNAMED))
            elif (look := look_at(guest)) is not None:
                key = (guest.pid, guest.started)
                spell = spells[key].then(look) if key in spells else Spell.beginning(look)
                self._spells[key] = spell
                seen.append(WatchedGuest(guest, await self._seen(guest, spell)))
        firsts = {(*key, spell.first.at_s) for key, spell in self._spells.items()}
        self._settled = {key: told for key, told in self._settled.items() if key in firsts}
        return tuple(seen)

    def _named(self, guest: LocalGuest) -> LocalGuest:
        return replace(guest, threads=self._behind[guest.pid][1])

    async def _seen(self, guest: LocalGuest, spell: Spell) -> Seen:
        seen = seen_from_outside(spell, patience_s=self.patience_s)
        if seen.state is not GuestState.SUSPECT:
            return seen
        key = (guest.pid, guest.started, spell.first.at_s)
        if key not in self._settled:
            self._settled[key] = await self._settle(guest, spell, seen)
        return replace(self._settled[key], spun_s=seen.spun_s)

    async def _settle(self, guest: LocalGuest, spell: Spell, seen: Seen) -> Seen:
        try:
            async with self._monitor(guest) as (monitor, peer):
                return await settled(monitor, peer, guest, spell, seen) if monitor else replace(seen, ask_for=_ASK)
        except (GuestError, RigError, ConfigError) as error:
            return replace(seen, because=(*seen.because, f"its monitor does not tell: {error}"), ask_for=_ASK)

    @asynccontextmanager
    async def _monitor(self, guest: LocalGuest) -> AsyncIterator[tuple[Monitor | None, int]]:
        if guest.pid in self._behind:
            async with qmp_monitor(self._behind[guest.pid][0]) as connected:
                yield connected
        else:
            yield (None if self.uri is None else VirshMonitor(guest.name, self.uri)), guest.pid


async def settled(monitor: Monitor, peer: int, guest: LocalGuest, spell: Spell, seen: Seen) -> Seen:
    """Return what the monitor of a suspect makes of it.

    Exits tell only of a guest that began in this process: one that came by migration or ``-loadvm`` brought APs along
    that have run elsewhere.

    :raises GuestError: no answer, or a refusal.
    """
    vcpus = await vcpus_of(monitor)
    if set(process_behind(peer, {vcpu.index: vcpu.thread for vcpu in vcpus})[1].values()) != set(
        guest.threads.values()
    ):
        return replace(seen, because=(*seen.because, "the monitor of that name is another guest's"), ask_for=_ASK)
    if guest.accel is Accel.TCG:
        told = await explain_monitor(monitor, peer, _GAP_S, dump=True)
        missing = tuple(look.index for look in told.vcpus if look.index and look.at_reset_vector)
        if told.verdict is DumpVerdict.LOST_INIT:
            return Seen(GuestState.HUNG, told.confidence, missing, seen.spun_s, (seen.because[0], *told.because))
        return Seen(GuestState.OK, because=(f"its registers say: {told.verdict} ({told.confidence})", *told.because))
    exits = {} if guest.resumed else await exits_of(monitor, vcpus)
    if not exits:
        return replace(seen, ask_for=_ASK)
    missing = tuple(index for index in spell.asleep if exits.get(index) == 0)
    if not missing:
        return Seen(GuestState.OK, because=("every AP has run: KVM has counted exits of each",))
    others = [index for index in exits if index and exits[index]]
    confidence = Confidence.CERTAIN if others else Confidence.LIKELY
    counted = f"KVM has counted no exit of {cpu_names(missing)}: it has never run"
    return Seen(GuestState.HUNG, confidence, missing, seen.spun_s, (seen.because[0], counted))


def watch_exit_code(seen: Iterable[WatchedGuest]) -> int:
    """Return 1 where a guest is hung, 5 where one may be, else 0."""
    states = {each.seen.state for each in seen}
    return 1 if GuestState.HUNG in states else 5 if GuestState.SUSPECT in states else 0


def all_told(seen: Iterable[WatchedGuest], watched_s: float) -> bool:
    """Whether no guest needs a further look, once there was time for two: none is in what may be its boot."""
    return watched_s >= 2 * LEAST_GAP_S and all(each.seen.state is not GuestState.BOOTING for each in seen)


def changes(
    before: Mapping[tuple[int, int], object], seen: Sequence[WatchedGuest]
) -> tuple[list[WatchedGuest], dict[tuple[int, int], object]]:
    """Return the guests that show something else than *before*, and what to compare the next look with. A guest that
    is seen for the first time, and is well or booting, is no news; nor is that one boots."""
    now: dict[tuple[int, int], object] = {each.key: each.told for each in seen}
    news = [each for each in seen if each.told != before.get(each.key, _NO_NEWS)]
    return news, now


async def watch_rounds(watcher: Watcher, *, every_s: float) -> AsyncIterator[tuple[WatchedGuest, ...]]:
    """Yield what all guests show, now and every *every_s* seconds (0: as fast as it goes)."""
    next_s = anyio.current_time()
    while True:
        yield await watcher.look()
        next_s = max(next_s + every_s, anyio.current_time())
        await anyio.sleep_until(next_s)
