"""``repro.sh``: a finding as a script that a person without qstress can read and run (pure: values in, text out).

It needs ``sh``, ``python3`` and a QEMU. The shell's only part is to hand two here-documents to Python: the program
as its standard input and, where the build was interposed, the interposer's C source as descriptor 3. So one process
owns everything and cleans up after itself however it is ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from qstress.firmware import firmware_of
from qstress.firmware.lines import LinePatterns
from qstress.model import Accel, HammerSpec, Milestone, Smm, Trial

#: The milestones whose patterns the program itself looks for.
_NEEDED = (Milestone.BANNER, Milestone.CHECKIN, Milestone.FOUND)


def boot_repro_sh(
    trial: Trial,
    argv: Sequence[str],
    env: Sequence[tuple[str, str]],
    interpose_source: str | None,
    *,
    found: str = "",
    kernel: str = "",
    hangs: bool = True,
) -> str:
    """Return the text of ``repro.sh`` for *trial*.

    :param argv: QEMU and the arguments that define the guest, without monitors, console and ``-S``
        (``guest.argv.guest_arguments``); with an injected fault already one vCPU short.
    :param env: what was added to QEMU's environment. Numbers of descriptors (``QSTRESS_…_FD``) mean nothing later
        and are left out; so is ``LD_PRELOAD`` where the script builds its own interposer.
    :param interpose_source: the interposer's C source, or None where the build was not interposed.
    :param found: the finding in one line (its title); :param kernel: release of the host's kernel. Both for the
        reader only, as is *hangs*: whether it hung or restarted, or else QEMU itself failed.
    :raises ValueError: the console of this firmware cannot be read by patterns.
    """
    shape = trial.cell.stratum.shape
    lines = firmware_of(shape).lines
    if lines is None:
        raise ValueError(f"only qstress reads the console of {shape.firmware}")
    binary, *arguments = argv or (trial.cell.build.binary,)
    dropped = r"QSTRESS_\w+_FD" + ("|LD_PRELOAD" if interpose_source is not None else "")
    kept_env = {name: value for name, value in env if not re.fullmatch(dropped, name)}
    constants = [
        f"QEMU = os.environ.get('QEMU', {ascii(binary)})",
        f"ARGS = [{_grouped(arguments)}]",
        f"ENV = {ascii(kept_env)}",
        f"SMP = {shape.smp}",
        f"QUIET_S = float(os.environ.get('QUIET_S', '{10 + shape.smp / 8:g}'))  # so long no output: it hangs",
        f"INTERPOSED = {interpose_source is not None}",
        f"INJECT = {trial.inject_lost_ap}",
        f"BSP_ALONE = {shape.placement == 'bsp-alone'}",
        "# what the firmware's console says: it starts, an AP is up, all CPUs are up, it runs once more",
        *(f"{each.name} = {ascii(lines.milestones.get(each, '(?!)'))}" for each in _NEEDED),
        f"RESTART = {ascii(lines.restart or '(?!)')}",
        "# seconds between two sends (0: at once), console pattern that starts it, one that stops it, QMP command",
        f"HAMMERS = [{''.join(_hammer(hammer, lines) for hammer in trial.cell.stratum.hammers)}]",
    ]
    mark = "END_OF_C"
    while interpose_source is not None and mark in interpose_source:
        mark += "_"
    source = "" if interpose_source is None else f"{interpose_source.rstrip()}\n{mark}\n"
    return (
        "#!/bin/sh\n"
        + "".join(
            f"# {_printable(line)}".rstrip() + "\n" for line in _header(trial, binary, found, kernel, hangs=hangs)
        )
        + "exec python3 - \"$@\" <<'END_OF_PYTHON'"
        + (f" 3<<'{mark}'\n" if interpose_source is not None else "\n")
        + "import json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time\n\n"
        + "\n".join(constants)
        + _PROGRAM
        + "END_OF_PYTHON\n"
        + source
    )


def _header(trial: Trial, binary: str, found: str, kernel: str, *, hangs: bool) -> list[str]:
    build, shape = trial.cell.build, trial.cell.stratum.shape
    return [
        f"Found by qstress: {found or 'see finding.json'}",
        f"in trial {trial.number} (seed {trial.seed}) of build {build.name}: QEMU {build.version}, {binary},",
        f"sha256 {build.sha256}{f', on kernel {kernel}' if kernel else ''}.",
        f"Guest: {shape.smp} vCPUs, {shape.machine}, {shape.accel}, firmware {shape.firmware}.",
        f"Monitor commands while it boots: {trial.cell.stratum.hammer_label}.",
        *_conditions(trial),
        "",
        *(_expectation(trial) if hangs else ["Expect: what is said above, in each boot or in some of them."]),
        "",
        "usage: [QEMU=/path/to/qemu] [QUIET_S=seconds] ./repro.sh [number of boots, 20 if not given]",
        "Exit status: 0 if all boots ended well, 1 if one did not.",
    ]


def _conditions(trial: Trial) -> list[str]:
    build = trial.cell.build
    lines = []
    if build.smm is Smm.PRETENDED:
        lines.append("SMM was PRETENDED: an LD_PRELOAD library told QEMU that this host's KVM has SMM.")
    if build.fix_imitated:
        lines.append("The fix was IMITATED: the library clears VALID_SMM in KVM_SET_VCPU_EVENTS at run time.")
    if trial.inject_lost_ap:
        lines.append("The fault is INJECTED: the firmware is told of one vCPU more than there is; it is plugged in")
        lines.append("once the firmware waits for it. This shows the picture of a lost INIT, not the race.")
    if trial.cell.stratum.shape.placement == "bsp-alone":
        lines.append("The boot CPU's thread had a core of its own, all others shared another one.")
    return lines


def _expectation(trial: Trial) -> list[str]:
    if trial.inject_lost_ap:
        return ["Expect: every boot hangs, with one AP at EIP=0000fff0 CS=f000 while CPU#0 runs."]
    if trial.cell.stratum.shape.accel is Accel.TCG:
        return ["Expect: if this was a lost INIT, nothing: that race needs KVM. Other faults may show."]
    return [
        "Expect: some boots hang (an AP stays at EIP=0000fff0 CS=f000 while CPU#0 spins) or restart. It is a race:",
        "a few in a hundred is usual, and another host or load has another rate. None seen? Try 200 boots.",
    ]


def _printable(text: str) -> str:
    """A comment is one line, and nothing in it may reach a terminal as anything but text."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _grouped(arguments: Sequence[str]) -> str:
    """The arguments as Python text, one line for each option and its value."""
    text = ""
    for argument in arguments:
        text += ("\n    " if argument.startswith("-") or not text else " ") + ascii(argument) + ","
    return text + "\n" if text else ""


def _hammer(hammer: HammerSpec, lines: LinePatterns) -> str:
    if hammer.via == "hmp":
        command = {"execute": "human-monitor-command", "arguments": {"command-line": hammer.command}}
    else:
        command = {"execute": hammer.command, "arguments": json.loads(hammer.arguments)}
    start, until = ascii(lines.reached(hammer.start)), ascii(lines.reached(hammer.until))
    return f"\n    ({hammer.rate.interval_s or 0}, {start}, {until},\n     {ascii(command)}),\n"


_PROGRAM = r'''


class Monitor:
    """QMP: one command at a time."""

    def __init__(self, connection):
        connection.settimeout(QUIET_S)
        self.file = connection.makefile("rwb")
        self.file.readline()  # the greeting
        self.ask("qmp_capabilities")

    def ask(self, execute, arguments=None):
        request = {"execute": execute, "arguments": arguments or {}}
        self.file.write(json.dumps(request).encode() + b"\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            reply = json.loads(line)
            if "event" not in reply:
                return reply

    def hmp(self, line):
        return self.ask("human-monitor-command", {"command-line": line})["return"]


def boot(folder, env):
    """Boot one guest, hammer it until all vCPUs are up, and say how that ended."""
    console, words = os.path.join(folder, "console"), os.path.join(folder, "stderr")
    open(console, "wb").close()
    ours, theirs = socket.socketpair()
    command = [QEMU] + ARGS + [
        "-S",
        "-chardev", "socket,id=repro-qmp,fd=%d" % theirs.fileno(), "-mon", "chardev=repro-qmp,mode=control",
        "-chardev", "file,id=repro-console,path=" + console.replace(",", ",,"),
        "-device", "isa-debugcon,iobase=0x402,chardev=repro-console",
    ]
    if shutil.which("setpriv"):  # QEMU dies with us, whatever kills us
        command = ["setpriv", "--pdeathsig", "KILL", "--"] + command
    with open(words, "wb") as stderr:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stderr=stderr, pass_fds=[theirs.fileno()]
        )
    theirs.close()
    try:
        return watch(Monitor(ours), console, process.pid)
    except socket.timeout:
        return "monitor silent"
    except (EOFError, OSError):  # it hung up
        print("QEMU ended with status %d:" % process.wait(), open(words, errors="replace").read()[-500:])
        return "QEMU died"
    finally:
        process.kill()
        process.wait()
        ours.close()


def watch(monitor, console, pid):
    if INJECT:  # CMOS 0x5f holds the number of CPUs minus one
        monitor.hmp("o /b 0x70 0x5f")
        monitor.hmp("o /b 0x71 %d" % (SMP - 1))
    if BSP_ALONE:
        place(monitor, pid)
    monitor.ask("cont")
    moved = time.monotonic()  # when the console last said something
    due = [moved] * len(HAMMERS)
    size, inject = 0, INJECT
    while True:
        now = time.monotonic()
        with open(console, "rb") as file:
            text = file.read().decode("latin-1")
        if len(text) > size:
            size, moved = len(text), now
        found = re.search(FOUND, text)
        before = text[:found.start()] if found else text
        if len(re.findall(BANNER, before)) > 1 or re.search(RESTART, before):
            return "restarted"
        if found:
            return "ok"
        if now - moved > QUIET_S:
            return hung(monitor)
        if inject and len(re.findall(CHECKIN, before)) >= SMP - 2 and now - moved > min(0.5, QUIET_S / 4):
            plug(monitor)
            inject = False
        wait = 0.01
        for i, (interval, start, stop, command) in enumerate(HAMMERS):
            if now - moved > QUIET_S / 2:
                continue  # it may hang: from now on look without touching
            if re.search(start, text) and not re.search(stop, text):
                if now >= due[i]:
                    monitor.ask(**command)
                    due[i] = max(due[i] + interval, now)
                wait = min(wait, due[i] - time.monotonic())
        time.sleep(max(0, wait))


def hung(monitor):
    """Print where each vCPU is. A lost INIT leaves an AP at the reset vector."""
    lost = False
    for number, body in re.findall(r"CPU#(\d+)\s(.*?)(?=CPU#|\Z)", monitor.hmp("info registers -a"), re.S):
        where = re.findall(r"[RE]IP=\w+|CS =\w+ \w+|HLT=\d", body)
        print("    CPU#%s" % number, *where)
        lost = lost or (number != "0" and "EIP=0000fff0" in where and "CS =f000 ffff0000" in where)
    return "hung (lost-init)" if lost else "hung (other)"


def plug(monitor):
    """Add the vCPU that the firmware was told of."""
    free = [p for p in monitor.ask("query-hotpluggable-cpus")["return"] if "qom-path" not in p]
    reply = monitor.ask("device_add", dict(free[0]["props"], driver=free[0]["type"], id="lost"))
    if "error" in reply:
        sys.exit("cannot plug in the vCPU: " + reply["error"]["desc"])


def place(monitor, pid):
    """The boot CPU alone on one core, everything else on another, the APs only when that is idle."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in os.listdir("/proc/%d/task" % pid):
        os.sched_setaffinity(int(thread), cores[1:2])
    for cpu in monitor.ask("query-cpus-fast")["return"]:
        if cpu["cpu-index"] == 0:
            os.sched_setaffinity(cpu["thread-id"], cores[:1])
        else:
            os.sched_setscheduler(cpu["thread-id"], os.SCHED_IDLE, os.sched_param(0))


def build_interposer(folder):
    if " " in folder or ":" in folder:
        sys.exit("LD_PRELOAD cannot name a file in %s: set TMPDIR to a path without spaces and colons" % folder)
    source, library = os.path.join(folder, "interpose.c"), os.path.join(folder, "interpose.so")
    with open(3) as here, open(source, "w") as file:
        file.write(here.read())
    subprocess.check_call([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"])
    return library


def main():
    boots = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    if not shutil.which(QEMU):
        sys.exit("no QEMU at %s: name one with QEMU=/path/to/qemu" % QEMU)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    ends = []
    with tempfile.TemporaryDirectory(prefix="repro-") as folder:
        env = dict(os.environ, **ENV)
        if INTERPOSED:
            env["LD_PRELOAD"] = build_interposer(folder)
        for number in range(1, boots + 1):
            ends.append(boot(folder, env))
            print("boot %d: %s" % (number, ends[-1]), flush=True)
    others = "".join(
        ", %d/%d %s" % (ends.count(end), boots, end) for end in ("hung (other)", "QEMU died", "monitor silent")
        if end in ends
    )
    print("%d/%d boots hung (lost-init), %d/%d restarted%s" % (
        ends.count("hung (lost-init)"), boots, ends.count("restarted"), boots, others))
    sys.exit(ends.count("ok") < boots)


main()
'''
