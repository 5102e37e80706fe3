"""What happens to a dump between the monitor and the one who reads it."""

from __future__ import annotations

import html
import json
import textwrap


def quoted(text: str, depth: int = 1) -> str:
    """Quote each line, as a mail that answers does."""
    return "".join(f"{'> ' * depth}{line}\n" for line in text.splitlines())


def wrapped(text: str, width: int = 72) -> str:
    """Break long lines at spaces, as mail programs do."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]]
    return "\n".join(lines) + "\n"


def terminal(text: str, width: int = 80) -> str:
    """Break long lines anywhere, as a copy from a terminal does."""
    lines = [line[i : i + width] for line in text.splitlines() for i in range(0, max(len(line), 1), width)]
    return "\n".join(lines) + "\n"


def quoted_printable(text: str) -> str:
    """Encode for a 7-bit mail: equals signs as ``=3D``, soft breaks within 76 columns."""
    lines = []
    for line in text.replace("=", "=3D").splitlines():
        while len(line) > 76:
            cut = 75 - (line[74] == "=") - 2 * (line[73] == "=")
            lines.append(line[:cut] + "=")
            line = line[cut:]
        lines.append(line)
    return "\n".join(lines) + "\n"


def crlf(text: str) -> str:
    """Line breaks as the monitor sends them."""
    return text.replace("\n", "\r\n")


def telnet(text: str, command: str = "info registers -a") -> str:
    """The monitor's prompt with its echo, character by character, before the reply."""
    echo = "".join(f"{command[:i]}\x1b[K\x1b[{i}D" for i in range(1, len(command) + 1))
    return f"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) {echo}{command}\r\n{crlf(text)}(qemu) "


def asked(text: str, command: str = "info registers -a") -> str:
    """The monitor's prompt and the command before the reply."""
    return f"(qemu) {command}\n{text}"


def reply(text: str) -> str:
    """The reply as it comes through QMP."""
    return json.dumps({"return": crlf(text)}) + "\r\n"


def cut(text: str, keep: int = 3) -> str:
    """Keep each vCPU's first lines and its CS line, dots for the rest."""
    out: list[str] = []
    kept = 0
    for line in text.splitlines():
        kept = 0 if line.startswith("CPU") else kept + 1
        if kept <= keep:
            out.append(line)
        elif kept == keep + 1:
            out.append("......")
    return "\n".join(out) + "\n"


def journal(text: str) -> str:
    """The lines as the host's journal shows them."""
    return "".join(f"Nov 21 10:15:0{i % 10} host7 QEMU[2291]: {line}\n" for i, line in enumerate(text.splitlines()))


def page(text: str) -> str:
    """The lines as a web page has them."""
    return (
        "<p>It says:<br/>" + html.escape(text, quote=False).replace("\n", "<br/>\n").replace("  ", "&nbsp; ") + "</p>"
    )


def one_line(text: str) -> str:
    """All lines run together, as a form that ignores line breaks shows them."""
    return " ".join(text.split())
