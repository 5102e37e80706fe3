"""Where a run's metrics can be read: over HTTP, and in a textfile for node_exporter. Neither delays a hammer.

A scrape is answered by a thread with bytes that are made at most once a second. Only the snapshot is taken on the
event loop, where nothing changes the tally meanwhile; it costs a few additions a cell. The textfile is replaced every
few seconds and once more at the end, so that a host which soaks at night shows its last run of each configuration
until the next one begins.

The server is by hand on purpose; that of prometheus_client (0.26) was read for it (2026-11-30). It serves from the
moment it is bound, any path, renders for each scrape, asks the name service who we are, and writes a traceback to the
terminal where a snapshot fails; each of these would be taken back by a subclass or a wrapper, which leaves about ten
lines fewer. Of what it brings, OpenMetrics costs 3.3 ms a page instead of 2.3 ms in a process that hammers, and gzip
saves 16 of 19 kB on what is a loopback's way as a rule. Who needs TLS has it from node_exporter: that is what the
textfile is for.
"""

from __future__ import annotations

import os
import socket
import socketserver
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import anyio
from anyio.from_thread import BlockingPortal
from anyio.to_thread import run_sync
from prometheus_client import write_to_textfile

from qstress.errors import ConfigError, RigError
from qstress.metrics.families import Collected, families, render
from qstress.metrics.snapshot import RunVerdict, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH_S, TEXTFILE_EVERY_S = 1.0, 15.0
#: How long a scrape waits for another one's rendering; Prometheus gives up after 10 s by default.
PATIENCE_S = 5.0
#: How long the event loop may wait for a thread that renders (``sys.setswitchinterval``; Python's default is 5 ms).
SWITCH_S = 0.0005

Take = Callable[[], Snapshot]


class Page:
    """The exposition as bytes, rendered at most once a second however many ask; safe to call from any thread."""

    def __init__(self, take: Take, clock: Callable[[], float] = time.monotonic) -> None:
        self._take, self._clock = take, clock
        self._lock = threading.Lock()
        self._content = b""
        self._fresh_until_s = -1.0

    def content(self) -> bytes:
        """Return the exposition, at most a second old. Raises what *take* raises.

        :raises TimeoutError: another thread has been rendering for seconds: the event loop is stuck.
        """
        if not self._lock.acquire(timeout=PATIENCE_S):
            raise TimeoutError
        try:
            if self._clock() >= self._fresh_until_s:
                self._content = render(self._take())
                self._fresh_until_s = self._clock() + FRESH_S
            return self._content
        finally:
            self._lock.release()


class _Server(ThreadingHTTPServer):
    """Listens from its making; answers once it serves."""

    daemon_threads = True
    block_on_close = False  # a client that never ends its request must not keep us

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.page: Page | None = None
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service who we are, as HTTPServer would."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up is no concern of the run."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"the metrics are at /metrics\n")
        elif self.server.page is None:
            self._answer(503, b"no run yet\n")
        else:
            try:
                content = self.server.page.content()
            except Exception as error:  # whatever it is, it is the scraper's to know and no end of the run
                self._answer(503, f"the run does not answer: {error!r}\n".encode())
            else:
                self._answer(200, content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: a scrape is no event of the run."""


class Exporter:
    """The places where one run's metrics can be read; a context manager that gives them up again.

    :param listen: host and port, port 0 for any free one; None for no HTTP.
    :param textfile: a file named ``….prom``, or a folder that gets ``qstress-<config>.prom``; None for no textfile.
    :param config: the configuration's name.
    :param say: is told once if the textfile cannot be written any more; the run goes on.
    :raises RigError: the address is taken or is not ours, the folder cannot be written.
    :raises ConfigError: node_exporter would not read a file of that name.
    """

    def __init__(
        self, listen: tuple[str, int] | None, textfile: Path | None, config: str, say: Callable[[str], None]
    ) -> None:
        self._textfile = None if textfile is None else _checked_textfile(textfile, config)
        self._server = None if listen is None else _bound(*listen)
        self._say = say
        self._told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._server is not None:
            self._server.server_close()

    @property
    def url(self) -> str | None:
        """Where the metrics are served; None if nowhere."""
        if self._server is None:
            return None
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}/metrics" if ":" in str(host) else f"http://{host!s}:{port}/metrics"

    @asynccontextmanager
    async def following(self, take: Take) -> AsyncIterator[None]:
        """Show the run that *take* takes snapshots of while the block runs, and how it ended in the textfile.

        :raises RigError: the textfile cannot be written; the block is not entered then.
        """
        if self._textfile is not None:
            self._write(take())
        failed = True
        try:
            async with BlockingPortal() as portal, anyio.create_task_group() as tasks:
                with self._serving(Page(lambda: portal.call(take))):
                    tasks.start_soon(self._keep_writing, take)
                    yield
                    tasks.cancel_scope.cancel()
            failed = False
        finally:
            now = take()
            if failed:
                now = replace(now, progress=replace(now.progress, verdict=RunVerdict.ERROR))
            self._try_to_write(now)

    @contextmanager
    def _serving(self, page: Page) -> Iterator[None]:
        if self._server is None:
            yield
            return
        self._server.page = page
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        thread.start()
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            yield
        finally:
            sys.setswitchinterval(usual_s)
            self._server.shutdown()
            thread.join()

    async def _keep_writing(self, take: Take) -> None:
        while self._textfile is not None:
            await anyio.sleep(TEXTFILE_EVERY_S)
            await run_sync(self._try_to_write, take())

    def _try_to_write(self, now: Snapshot) -> None:
        try:
            self._write(now)
        except RigError as error:
            if not self._told:
                self._told = True
                self._say(f"warning: {error}; the run goes on without it")

    def _write(self, now: Snapshot) -> None:
        """Replace the textfile, if there is one.

        :raises RigError: it cannot be written.
        """
        if (path := self._textfile) is None:
            return
        try:
            write_to_textfile(str(path), Collected(families(now)))  # a temporary file beside it, then renamed
        except OSError as error:
            raise RigError(f"metrics.textfile: {path}: {error.strerror or error}", reason="metrics") from error


def _bound(host: str, port: int) -> _Server:
    try:
        return _Server(host, port)
    except OSError as error:
        raise RigError(
            f"metrics.listen: cannot serve at {host}:{port}: {error.strerror or error}", reason="metrics"
        ) from error


def _checked_textfile(path: Path, config: str) -> Path:
    if path.is_dir():
        path = path / f"qstress-{config}.prom"
    elif path.suffix != ".prom":
        raise ConfigError(
            f"metrics.textfile: {path} is no folder, and node_exporter reads only files whose name ends in .prom"
        )
    if not path.parent.is_dir():
        raise RigError(f"metrics.textfile: there is no folder {path.parent}", reason="metrics")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise RigError(f"metrics.textfile: {path.parent} cannot be written", reason="metrics")
    return path
