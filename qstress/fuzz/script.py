"""``repro.sh``: a finding repeated with nothing but QEMU and a POSIX shell (pure: a recording in, text out).

The monitors are named pipes. Replies are waited for by their id, prompts by their count, as the recording says; nothing
depends on how fast they come. What needs more than that (hanging up and coming back) is left to ``qstress repro``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from shlex import quote

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.judge import oracle_of
from qstress.fuzz.ops import Await, Close, MeasureFootprint, Open, Send, To, WaitEvent, WaitExit
from qstress.fuzz.oracles.oracle import printf_b
from qstress.fuzz.oracles.state import NAMES
from qstress.fuzz.recording import Recording

#: Tenths of a second that the script waits for an answer.
_PATIENCE = 100
#: Commands that a summary shows, the last ones.
_TOLD = 6
#: What a script that needs qstress says.
CALLS_QSTRESS = "Needs qstress:"
_CALL_QSTRESS = """\
#!/bin/sh
# {title}
# {why}
# {needs}  sh repro.sh [--build QEMU]. Ends with 0 when it shows.
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


def repro_sh(recording: Recording) -> str:
    """Return the text of ``repro.sh``."""
    title, oracle = " ".join(recording.title.split()), oracle_of(recording.kind)
    ops = [op for step in recording.steps for op in step.ops]
    again = any(isinstance(op, Close) or (isinstance(op, Open) and op in ops[:at]) for at, op in enumerate(ops))
    verdict = list(oracle.shell_verdict(recording))
    if again or not verdict:
        why = "It hangs up on a monitor and comes back, which a shell cannot." if again else oracle.shell_refusal
        return _CALL_QSTRESS.format(title=title, why=why, needs=CALLS_QSTRESS)
    environment = "".join(f"{name}={quote(value)} " for name, value in recording.env)
    head = _HEAD.format(
        title=title, version=recording.version, binary=quote(recording.binary),
        environment=environment, arguments=" ".join(map(quote, recording.arguments)), patience=_PATIENCE,
        patience_s=_PATIENCE // 10, names=NAMES.decode().replace("?:", ""),
    )  # fmt: skip
    steps = _steps([step for step in recording.steps if not oracle.shell_replaces(step)])
    return head + "\n".join([*steps, *verdict, ""])


def _steps(steps: Sequence[Exchange]) -> Iterator[str]:
    """Yield what sends each message and waits as the recording does: QMP's replies once all of a batch is sent."""
    prompts = 1
    for step in steps:
        waited: list[str] = []
        for op in step.ops:
            if not (isinstance(op, Send) and op.to is To.QMP) and not isinstance(op, Open | MeasureFootprint | Close):
                yield from waited
                waited.clear()
            match op:
                case Send(to=To.QMP):
                    yield f"printf '%b' {printf_b(op.data)} >&3"
                    if op.wait is Await.REPLY:
                        waited.append(f"await reply {op.ident}")
                case Send():
                    yield f"await prompts {prompts}"
                    prompts += 1
                    yield f"printf '%b' {printf_b(op.data)} >&4"
                    yield f"await prompts {prompts}"
                case WaitEvent():
                    yield f"tries={round(op.within_s * 10)}; while lives && test $tries -gt 0 && ! event {op.name}; do"
                    yield "    tries=$((tries - 1)); sleep 0.1; done"
                case WaitExit():
                    yield "await false"
        yield from waited


def sent_lines(recording: Recording) -> list[str]:
    """Return all that a recording sends, a message a line, as it is but for what no line can hold."""
    return [f"{send.to}: {_short(send)}" for step in recording.steps for send in step.sends]


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
