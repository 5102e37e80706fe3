"""``repro.sh``: a finding repeated with nothing but QEMU and a POSIX shell (pure: a recording in, text out).

The monitors are named pipes. Replies are waited for by their id, prompts by their count, as the recording says; nothing
depends on how fast they come. What needs more than that (hanging up and coming back) is left to ``qstress repro``.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from shlex import quote

from qstress.fuzz import oracles
from qstress.fuzz.judge import Kind
from qstress.fuzz.ops import Await, Close, End, Event, Measure, Open, Send, To
from qstress.fuzz.protocol import TWICE
from qstress.fuzz.recording import Recording, signature

#: Tenths of a second that the script waits for an answer.
_PATIENCE = 100
#: Commands that a summary shows, the last ones.
_TOLD = 6
_CALL_QSTRESS = """\
#!/bin/sh
# {title}
# {why}
# Needs qstress:  sh repro.sh [--build QEMU]. Ends with 0 when it shows.
qstress repro --trials 3 "$@" "$(dirname "$0")"
test $? -eq 1
"""
_HEAD = """\
#!/bin/sh
# {title}
# Found by qstress on QEMU {version}. Needs QEMU and a shell:  sh repro.sh [QEMU]
# Ends with 0 when it shows, with 1 when it does not.
# This runs QEMU in a new folder, but without qstress's sandbox, where 64 MiB can be written and then the disk is full;
# `qstress repro` on this folder runs it confined.
qemu=${{1:-{binary}}}
dir=$(mktemp -d) && cd "$dir" || exit 2
mkfifo qmp.in qmp.out hmp.in hmp.out
exec 3<>qmp.in 4<>hmp.in 5<>qmp.out 6<>hmp.out
{environment}"$qemu" {arguments} \\
    -chardev pipe,id=qmp,path=qmp -mon chardev=qmp,mode=control \\
    -chardev pipe,id=hmp,path=hmp -mon chardev=hmp,mode=readline -S >stderr 2>&1 &
pid=$!
cat <&5 >qmp.log & cat5=$!
cat <&6 >hmp.log & cat6=$!
trap 'kill -9 $pid $cat5 $cat6 2>/dev/null; cd /; rm -rf "$dir"' EXIT

lives() {{ test -d /proc/$pid && ! grep -q '^State:.Z' /proc/$pid/status; }}
# await COMMAND...: until it succeeds or QEMU is gone, at most {patience_s} s
await() {{
    silent=yes tries={patience}
    while lives && test $tries -gt 0; do
        if "$@"; then silent=; return; fi
        tries=$((tries - 1))
        sleep 0.1
    done
    lives || silent=
}}
reply() {{ grep -aq "\\"id\\": \\"$1\\"" qmp.log; }}
names() {{ grep -a "\\"return\\": .*\\"id\\": \\"$1\\"" qmp.log >line && grep -aoE '{names}' line | sort -u; }}
event() {{ grep -aq "\\"event\\": \\"$1\\"" qmp.log; }}
prompts() {{ test "$(grep -ao '(qemu) ' hmp.log | wc -l)" -ge "$1"; }}
anon() {{ sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$pid/status; }}

"""


def script(recording: Recording) -> str:
    """Return the text of ``repro.sh``."""
    title = " ".join(recording.title.split())

    def call(why: str) -> str:
        return _CALL_QSTRESS.format(title=title, why=why)

    ops = [op for step in recording.steps for op in step.ops]
    again = [op for at, op in enumerate(ops) if isinstance(op, Close) or (isinstance(op, Open) and op in ops[:at])]
    if again:
        return call("It hangs up on a monitor and comes back, which a shell cannot.")
    if recording.kind is Kind.HUNG_UP or (recording.kind is Kind.STATE and not _looks(recording)):
        return call("What shows it takes more than a shell to see.")
    if recording.kind is Kind.PROTOCOL and not recording.telling:
        return call("The broken reply has to be held against QEMU's schema.")
    environment = "".join(f"{name}={quote(value)} " for name, value in recording.env)
    head = _HEAD.format(
        title=title, version=recording.version, binary=quote(recording.binary),
        environment=environment, arguments=" ".join(map(quote, recording.arguments)), patience=_PATIENCE,
        patience_s=_PATIENCE // 10, names=oracles.NAMES.decode().replace("?:", ""),
    )  # fmt: skip
    return head + "\n".join([*_steps(recording), *_verdict(recording), ""])


def _steps(recording: Recording) -> Iterator[str]:
    prompts = 1
    last: Send | None = None
    for step in recording.steps:
        waited: list[str] = []
        for op in step.ops:
            match op:
                case Send() if recording.kind is Kind.LEAK and step.kind == "probe-again":
                    last = op
                case Send(to=To.QMP):
                    yield f"printf '%b' {_escaped(op.data)} >&3"
                    if op.wait is Await.REPLY:
                        waited.append(f"await reply {op.ident}")
                case Send():
                    yield from waited
                    waited.clear()
                    prompts += 1
                    yield f"await prompts {prompts - 1}"
                    yield f"printf '%b' {_escaped(op.data)} >&4"
                    yield f"await prompts {prompts}"
                case Event():
                    yield from waited
                    waited.clear()
                    yield f"tries={round(op.within_s * 10)}; while lives && test $tries -gt 0 && ! event {op.name}; do"
                    yield "    tries=$((tries - 1)); sleep 0.1; done"
                case End():
                    yield from waited
                    waited.clear()
                    yield "await false"
                case Open() | Measure() | Close():
                    pass
        yield from waited
    if last is not None:
        yield from _repeated(last)


def _repeated(send: Send) -> Iterator[str]:
    """Yield the repeats of a command that leaks, with two looks at QEMU."""
    quoted = b'"' + send.ident.encode() + b'"'
    data = send.data.replace(quoted, b'"more"')
    for look, repeats in (("before", oracles.REPEATS), ("after", oracles.REPEATS_AGAIN)):
        yield f"i=0; while test $i -lt {repeats} && lives; do printf '%b' {_escaped(data)} >&3; i=$((i + 1)); done"
        named = send.data.replace(quoted, b'"' + look.encode() + b'"')
        yield f"printf '%b' {_escaped(named)} >&3"
        yield f"await reply {look}; {look}=$(anon); {look}_fds=$(ls /proc/$pid/fd | wc -l)"


def _verdict(recording: Recording) -> Iterator[str]:
    """Yield what decides whether it showed."""
    match recording.kind:
        case Kind.CRASH:
            name = signature(recording.kind, recording.title).removeprefix("crash: ").partition(":")[0]
            known = name in signal.Signals.__members__
            status = str(128 + signal.Signals[name]) if known else name.removeprefix("exit status ")
            yield "await false  # until QEMU is gone"
            yield "lives && { echo 'QEMU lives'; exit 1; }"
            yield "wait $pid; status=$?; tail -3 stderr"
            yield f'echo "QEMU ended with status $status ({status} is {name})"; test $status -eq {status}'
        case Kind.STATE:
            yield "changed="
            for before, after in _looks(recording):
                yield f"names {before} >before && names {after} >after && {{ diff before after || changed=yes; }}"
            yield 'lives && test -n "$changed"'
        case Kind.LEAK:
            kib = oracles.REPEATS_AGAIN * oracles.LEAK_BYTES // 1024
            yield "kib=$((after - before)) fds=$((after_fds - before_fds))"
            yield f'echo "{oracles.REPEATS_AGAIN} repeats: $kib KiB, $fds descriptors"'
            yield f"test $kib -ge {kib} || test $fds -ge {oracles.REPEATS_AGAIN // 4}"
        case Kind.PROTOCOL:
            times = 2 if recording.title.endswith(TWICE) else 1
            yield f"telling={quote(recording.telling)}"
            yield f'shown() {{ test "$(grep -caF -e "$telling" qmp.log)" -ge {times}; }}'
            yield 'await shown; grep -aF -e "$telling" qmp.log; shown'
        case _:
            yield 'if test -n "$silent"; then echo "silent, and it lives"; else echo "all was answered"; fi'
            yield 'test -n "$silent"'


def _looks(recording: Recording) -> list[tuple[str, str]]:
    """Return the ids of the last two answers of each state query whose answer changed; none where it was asked once."""
    queries = [name for name, _ in oracles.STATE_QUERIES]
    idents = [send.ident for step in recording.steps for send in step.ops
              if isinstance(send, Send) and send.ident.startswith("s")]  # fmt: skip
    before, after = idents[-2 * len(queries) : -len(queries)], idents[-len(queries) :]
    changed = recording.title.rpartition(" changed ")[2].split(", ")
    triples = zip(queries, before, after, strict=False)
    return [(old, new) for name, old, new in triples if name in changed]


def _escaped(data: bytes) -> str:
    """Return *data* for ``printf %b``: octal for what is no plain character (POSIX: printf, "%b")."""
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else "\\n" if byte == 0x0A else f"\\0{byte:03o}"
        for byte in data
    )
    return quote(text)


def summary_line(recording: Recording) -> str:
    """Return the commands of a recording in one line, for a report."""
    sends = recording.sends
    texts = [_short(send)[:200] for send in sends[-_TOLD:]]
    return "; ".join([f"… {len(sends) - _TOLD} more", *texts] if len(sends) > _TOLD else texts)


def _short(send: Send) -> str:
    try:
        message = json.loads(send.data) if send.to is To.QMP else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not send.ident:  # an id that is not ours is part of what was sent
        return send.data.decode(errors="replace").strip()
    return json.dumps({key: value for key, value in message.items() if key != "id"})
