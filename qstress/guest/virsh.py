"""A guest's monitor through libvirt: ``virsh qemu-monitor-command``, a process for each command.

libvirt holds the guest's QMP socket itself, so this is the way to it that needs no other package. It writes to its log
that the domain is *tainted: custom-monitor*, which changes nothing of the guest; and has no out-of-band commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import anyio

from qstress.distribution import install_hint
from qstress.errors import ConfigError, RigError
from qstress.guest.qmp import CommandRefused, MonitorSilent

#: What virsh says where it may not connect, and what it says where there is no such domain, or it does not run.
_NO_RIGHT = re.compile(r"permission denied|authentication (?:failed|unavailable)|access denied", re.IGNORECASE)
_NO_DOMAIN = re.compile(r"failed to get domain|domain is not running|Domain not found", re.IGNORECASE)


class VirshMonitor:
    """The monitor of the domain *domain* of the libvirt at *uri* (None: virsh's own choice)."""

    def __init__(self, domain: str, uri: str | None = None) -> None:
        self._virsh = ("virsh", *(("--connect", uri) if uri else ()))
        self._domain = domain

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, timeout_s: float, oob: bool = False
    ) -> object:
        """Run one QMP command and return its ``return`` value.

        :raises CommandRefused: QEMU's error, or that libvirt has no out-of-band commands.
        :raises MonitorSilent: no reply within *timeout_s*.
        :raises ConfigError: libvirt knows no such running domain.
        :raises RigError: there is no virsh, or it cannot reach libvirt.
        """
        if oob:
            raise CommandRefused(f"{command}: libvirt passes on no out-of-band commands")
        message = json.dumps({"execute": command, **({"arguments": dict(arguments)} if arguments else {})})
        said = await self._run("qemu-monitor-command", self._domain, "--", message, timeout_s=timeout_s)
        reply = json.loads(said)
        if "error" in reply:
            raise CommandRefused(f"{command}: {reply['error'].get('desc', reply['error'])}")
        result: object = reply["return"]
        return result

    async def hmp(self, line: str, *, timeout_s: float) -> str:
        """Run one HMP line and return its text."""
        reply = await self.execute("human-monitor-command", {"command-line": line}, timeout_s=timeout_s)
        return str(reply)

    async def _run(self, *arguments: str, timeout_s: float) -> str:
        try:
            with anyio.fail_after(timeout_s):
                done = await anyio.run_process((*self._virsh, *arguments), check=False)
        except TimeoutError as error:
            raise MonitorSilent(f"virsh {arguments[0]}: no reply within {timeout_s:g} s") from error
        except OSError as error:
            remedy = install_hint("libvirt-clients")
            raise RigError(f"virsh cannot be started: {error.strerror}; {remedy}", reason="libvirt") from error
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        words = " ".join(done.stderr.decode(errors="replace").replace("error: ", "").split())
        if _NO_DOMAIN.search(words):
            raise ConfigError(f"libvirt domain {self._domain}: {words}; virsh list shows those that run")
        remedy = "; run it as root, or as a member of the group libvirt" if _NO_RIGHT.search(words) else ""
        raise RigError(f"libvirt: {words}{remedy}", reason="libvirt")
