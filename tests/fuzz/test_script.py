"""``repro.sh``: a fake QEMU in the place of the real one shows that each kind of verdict is reached both ways."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.ops import Await, Close, Open, Send, To, WaitExit
from qstress.fuzz.oracles.state import STATE_QUERIES
from qstress.fuzz.recording import Recording
from qstress.fuzz.script import repro_sh, summary_line
from tests.fuzz.guests import ARGUMENTS, CONNECT, QEMU, plant, qmp
from tests.fuzz.test_recording import CAPABILITIES, SAMPLE, STOP

pytestmark = pytest.mark.timeout(240)
START = Exchange("planned", (Open(To.QMP), CAPABILITIES, Open(To.HMP)))
LINE = Send(To.HMP, b"info status\n", Await.PROMPT, "", "info status")
FAKE = """\
#!{python}
import os, signal, sys, threading, time
def monitor(name, answer, greeting):
    out = os.open(name + ".out", os.O_WRONLY)
    os.write(out, greeting)
    with open(name + ".in", "rb", buffering=0) as lines:
        for line in iter(lines.readline, b""):
            if (text := answer(line)): os.write(out, text)
def qmp(line):
    {on_qmp}
    return b'{{"return": {{}}, "id": ' + line.partition(b'"id": ')[2].strip() + b"\\r\\n"
def hmp(line):
    return line + b"VM status: running\\r\\n(qemu) "
threading.Thread(target=monitor, args=("hmp", hmp, b"QEMU\\r\\n(qemu) "), daemon=True).start()
monitor("qmp", qmp, b'{{"QMP": {{}}}}\\r\\n')
"""


def ran(
    tmp_path: Path, recording: Recording, on_qmp: str = "pass", *, tries: int = 50
) -> subprocess.CompletedProcess[str]:
    """Run the recording's script on a fake QEMU that does *on_qmp* for each line; *tries* is its patience in 0.1 s."""
    fake = tmp_path / "qemu"
    fake.write_text(FAKE.format(python=sys.executable, on_qmp=on_qmp))
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    path = tmp_path / "repro.sh"
    path.write_text(repro_sh(replace(recording, binary=str(fake))).replace("tries=100", f"tries={tries}"))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["sh", path], stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the fake, too, where the script did not end
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


CRASH = replace(SAMPLE, steps=(START, Exchange("hmp", (LINE,)), Exchange("qmp", (STOP,))))


def test_a_crash_shows_by_its_signal(tmp_path: Path) -> None:
    done = ran(tmp_path, CRASH, "if b'stop' in line: os.kill(os.getpid(), signal.SIGSEGV)")
    assert "ended with status 139 (139 is SIGSEGV)" in done.stdout
    assert done.returncode == 0


def test_another_end_is_no_crash(tmp_path: Path) -> None:
    done = ran(tmp_path, CRASH, "if b'stop' in line: os.kill(os.getpid(), signal.SIGTERM)")
    assert done.returncode == 1


def test_a_guest_that_lives_is_no_crash(tmp_path: Path) -> None:
    done = ran(tmp_path, CRASH, tries=8)
    assert "QEMU lives" in done.stdout
    assert done.returncode == 1


def test_a_stall_shows_by_silence(tmp_path: Path) -> None:
    stall = replace(CRASH, kind="stall", title="no reply to stop: the main loop is busy")
    assert ran(tmp_path, stall, "if b'stop' in line: time.sleep(60)", tries=8).returncode == 0
    assert ran(tmp_path, stall).returncode == 1


def test_a_quit_that_lingers_shows(tmp_path: Path) -> None:
    quits = replace(CRASH, kind="stall", title="quit: it does not end: QEMU lives on")
    lingers = replace(quits, steps=(START, Exchange("quit", (STOP, WaitExit(10.0)))))
    assert ran(tmp_path, lingers, tries=8).returncode == 0
    assert ran(tmp_path, lingers, "if b'stop' in line: os._exit(0)").returncode == 1


def test_a_broken_reply_shows_by_its_text(tmp_path: Path) -> None:
    broken = replace(CRASH, kind="protocol", title="not JSON: inf", telling='"id": inf')
    assert ran(tmp_path, broken, "if b'stop' in line: return b'{\"id\": inf}\\n'", tries=8).returncode == 0
    assert ran(tmp_path, broken).returncode == 1


def test_a_second_reply_shows_by_being_there(tmp_path: Path) -> None:
    twice = replace(CRASH, kind="protocol", title="stop: two replies to one command", telling='"id": "q2"')
    answer = "if b'q2' in line: return b'{\"id\": \"q2\"}\\n' * 2"
    assert ran(tmp_path, twice, answer, tries=8).returncode == 0
    assert ran(tmp_path, twice, answer.replace("* 2", ""), tries=8).returncode == 1


def test_a_changed_state_shows_by_the_names_in_two_answers(tmp_path: Path) -> None:
    looks = [
        [Send(To.QMP, f'{{"execute": "{name}", "id": "s{look}{at}"}}\n'.encode(), Await.REPLY, f"s{look}{at}", name)
         for at, (name, _) in enumerate(STATE_QUERIES)]
        for look in range(2)
    ]  # fmt: skip
    steps = (START, Exchange("look", tuple(looks[0])), Exchange("qmp", (STOP, *looks[1])))
    state = replace(CRASH, kind="state", title="refused stop changed query-chardev", steps=steps)
    gone = """\
if b'stop' in line: globals()['gone'] = True
    names = ['c0'] if 'gone' in globals() else ['c1', 'c0']
    if b'query-chardev' in line:
        made = ', '.join('{"label": "%s"}' % name for name in names)
        return b'{"return": [' + made.encode() + b'], "id": ' + line.partition(b'"id": ')[2].strip() + b"\\n"
"""
    done = ran(tmp_path, state, gone)
    assert '< "label": "c1"' in done.stdout, done.stderr
    assert done.returncode == 0
    assert ran(tmp_path, state, gone.replace("'gone' in", "'other' in")).returncode == 1
    assert ran(tmp_path, replace(state, title="refused stop changed query-status"), gone).returncode == 1
    ends = gone.replace("globals()['gone'] = True", "os._exit(0)")
    assert ran(tmp_path, state, ends).returncode == 1


def test_a_leak_shows_by_what_repeats_cost(tmp_path: Path) -> None:
    repeats = Exchange("probe-again", (STOP, replace(STOP, ident="q3", data=STOP.data.replace(b"q2", b"q3"))))
    leak = replace(CRASH, kind="leak", title="stop leaks memory", steps=(START, repeats))
    done = ran(tmp_path, leak, "globals().setdefault('kept', []).append(os.urandom(4096))")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(tmp_path, leak).returncode == 1
    opens = "os.open('/dev/null', os.O_RDONLY)"
    assert ran(tmp_path, leak, opens).returncode == 0


def test_bytes_of_all_kinds_arrive_as_they_are(tmp_path: Path) -> None:
    data = bytes(range(256)).replace(b"\n", b"") + b"'\"$`%s\\\n"
    odd = replace(CRASH, steps=(START, Exchange("corrupt", (Send(To.QMP, data, Await.NOTHING), STOP))))
    keep = f"open('{tmp_path}/got', 'ab').write(line)"
    ran(tmp_path, odd, keep, tries=8)
    assert data in (tmp_path / "got").read_bytes()


@pytest.mark.parametrize(
    "recording",
    [
        replace(CRASH, steps=(START, Exchange("reconnect", (Close(To.QMP), Open(To.QMP))))),
        replace(CRASH, kind="state"),
        replace(CRASH, kind="protocol", telling=""),
    ],
)
def test_what_a_shell_cannot_do_is_left_to_qstress(recording: Recording) -> None:
    text = repro_sh(recording)
    assert text.splitlines()[-2:] == ['qstress repro --trials 3 "$@" "$(dirname "$0")"', "test $? -eq 1"]
    assert text.splitlines()[1] == f"# {recording.title}"


def test_a_summary_shows_the_last_commands() -> None:
    assert summary_line(CRASH) == 'info status; {"execute": "stop"}'
    odd = replace(STOP, data=b'{"execute": "stop", "id": 1e400}', ident="", wait=Await.NOTHING)
    assert (
        summary_line(replace(CRASH, steps=(START, Exchange("corrupt", (odd,))))) == '{"execute": "stop", "id": 1e400}'
    )
    deep = replace(odd, data=b'{"a": ' + b"[" * 5000)
    assert summary_line(replace(CRASH, steps=(START, Exchange("corrupt", (deep,))))).startswith('{"a": [[')
    many = replace(CRASH, steps=(START, Exchange("qmp", (STOP,) * 9)))
    assert summary_line(many).startswith('… 3 more; {"execute": "stop"}; ')


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("fault", "kind", "title", "telling"),
    [
        ("crash", "crash", "crash: SIGSEGV at query-name", ""),
        ("stall", "stall", "no reply to query-name: the main loop is blocked", ""),
        (
            "type",
            "protocol",
            "query-name: reply breaks the schema: value is int, not object",
            '"return": 5, "id": "q4"',
        ),
        ("twice", "protocol", "query-name: two replies to one command", '"id": "q4"'),
    ],
)
def test_a_fault_planted_in_a_real_qemu_shows(
    tmp_path: Path, planted: str, fault: str, kind: str, title: str, telling: str
) -> None:
    steps = (Exchange("planned", CONNECT), Exchange("qmp", (qmp("query-name", "q4"),)))
    for command, status in (("query-name", 0), ("query-uuid", 1)):
        env = plant(planted, f"{fault}:{command}")
        path = tmp_path / "repro.sh"
        path.write_text(repro_sh(Recording(title, kind, QEMU, "", ARGUMENTS, env, steps, telling)))
        done = subprocess.run(["sh", path], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == status, done.stdout + done.stderr
