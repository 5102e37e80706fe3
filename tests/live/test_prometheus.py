"""A real Prometheus reads a real soak: every query of every panel and rule gives data, and it is summary.json's.

It reads the run over HTTP and the run's textfile, which a small server shows as node_exporter would.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from anyio.to_thread import run_sync

from qstress.config.kvm import probe
from qstress.config.load import load_config
from qstress.config.resolve import resolve
from qstress.metrics.exporter import Exporter
from qstress.run import soak as job
from qstress.run.soak import Soak
from tests.dashboards.prom import DASHBOARDS, PROMETHEUS, Query, board, panels, promtool, rule_queries, rules

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(90)]

CONFIG = """
version: 1
name: nightly-live
builds:
  faulty: {binary: qemu-system-x86_64, inject: {lost_ap: 0.5}}
  healthy: {binary: qemu-system-x86_64}
guest: {accel: tcg, smp: 3}
hammer: [{command: info registers -a, via: hmp, rate: max}]
churn: 500/s
stop: {trials: 12}
compare: {baseline: faulty, candidate: healthy}
gate: {build: healthy, max_hang_rate: 0.5}
seed: 5
"""

#: Queries that rightly find nothing in a healthy run a minute old: there is no month before it, and no alert fires.
EMPTY = {
    "config_build_smp:qstress_trials:baseline28d",
    "config_build_smp:qstress_hangs:baseline28d",
    "config_build_smp:qstress_hang_ratio_upper:baseline28d",
    "overview: Hang rate of the last 24 h C",
    "run: Rig errors per hour A",
    *(f"alert {rule['alert']}" for rule in rules() if "alert" in rule),
}

GRAFANA = {"$config": ".*", "$build": ".*", "$instance": ".*", "$__rate_interval": "1m"}


class Api:
    """Prometheus's HTTP API."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"

    def get(self, path: str, **arguments: str) -> Any:
        """Return the data of an answer."""
        with urllib.request.urlopen(f"{self._root}{path}?{urllib.parse.urlencode(arguments)}") as answer:
            return json.load(answer)["data"]

    def ready(self) -> bool:
        """Whether it has started."""
        try:
            with urllib.request.urlopen(f"{self._root}/-/ready"):
                return True
        except OSError:
            return False

    def values(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series that *expr* gives now."""
        result = self.get("/api/v1/query", query=expr)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def value(self, name: str, **labels: str) -> float:
        """Return the one series of *name* with *labels*; ``of_class`` stands for ``class``."""
        matchers = ",".join(f'{"class" if k == "of_class" else k}="{v}"' for k, v in labels.items())
        ((_, value),) = self.values(f"{name}{{{matchers}}}")
        return value

    def graph(self, expr: str, since_s: float) -> list[Any]:
        """Return what a panel would draw from *since_s* (Unix time) until now."""
        times = {"start": f"{since_s:.3f}", "end": f"{time.time():.3f}", "step": "1"}
        found: list[Any] = self.get("/api/v1/query_range", query=expr, **times)["result"]
        return found


async def until(holds: Callable[[], bool]) -> None:
    """Wait for another process; the test's time limit is the deadline."""
    while not await run_sync(holds):
        await anyio.sleep(0.1)


@contextmanager
def textfile_server(folder: Path) -> Iterator[int]:
    """Show the files of *folder* at a free port, which is yielded."""

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = {".prom": "text/plain; version=0.0.4"}

        def log_message(self, format: str, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def prometheus(folder: Path, soak_port: int, textfile_port: int, textfile: str) -> Iterator[Api]:
    """Run Debian's Prometheus with our configuration and rules; only addresses and intervals are the test's own."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    for scrape, port in zip(config["scrape_configs"], (soak_port, textfile_port), strict=True):
        scrape["scrape_interval"] = scrape["scrape_timeout"] = "500ms"
        scrape["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    config["scrape_configs"][1]["metrics_path"] = f"/{textfile}"
    for name in config["rule_files"]:
        rule_text = (PROMETHEUS / name).read_text()
        (folder / name).write_text(re.sub(r"interval: \S+", "interval: 500ms", rule_text))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    binary = shutil.which("prometheus")
    assert binary is not None, "prometheus is missing: apt-get install prometheus"
    command = [
        "setpriv", "--pdeathsig", "KILL", "--", binary, f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Api(port)
        finally:
            process.kill()


def begin(folder: Path, stack: ExitStack) -> Soak:
    """Start a soak as ``qstress soak`` does, in this process, so that it can be held at its end."""
    path = folder / "soak.yaml"
    path.write_text(CONFIG)
    loaded = load_config(path, environ={}, overrides=[f"runs_dir={folder}/runs"], options={})
    kvm = probe()
    settings = resolve(loaded, kvm=kvm, cores=len(os.sched_getaffinity(0)), base=folder)
    return job.start(settings, kvm, stack=stack, on_result=lambda result, place: None)


def filled_in(expr: str) -> str:
    """Return a query with Grafana's variables filled in."""
    for variable, text in GRAFANA.items():
        expr = expr.replace(variable, text)
    assert "$" not in expr
    return expr


def panel_data(api: Api, since_s: float) -> Iterator[tuple[Query, list[Any]]]:
    """Yield what each query of each panel and annotation gives."""
    for path in DASHBOARDS:
        shown = [(panel["title"], target) for panel in panels(board(path)) for target in panel["targets"]]
        shown += [(f"annotation {each['name']}", each["target"]) for each in board(path)["annotations"]["list"]]
        for title, target in shown:
            query = Query(f"{path.stem}: {title} {target['refId']}", filled_in(target["expr"]))
            yield query, api.values(query.expr) if target.get("instant") else api.graph(query.expr, since_s)


def assert_equals_summary(api: Api, scrape: str, summary: dict[str, Any]) -> None:
    """Compare what Prometheus has of the job *scrape* with ``summary.json``."""
    for cell in summary["cells"]:
        of_cell = {"job": scrape, "config": "nightly-live", "build": cell["build"], "smp": str(cell["smp"])}
        for outcome, count in cell["outcomes"].items():
            assert api.value("qstress_trials_total", **of_cell, outcome=outcome) == count
        for found, of_class in cell["classes"].items():
            assert api.value("qstress_hangs_total", **of_cell, of_class=found) == of_class["count"]
        rate = cell["hang_rate"]
        for name, key in (("", "estimate"), ("_lower", "lower"), ("_upper", "upper")):
            assert api.value(f"qstress_hang_ratio{name}", **of_cell) == pytest.approx(rate[key], rel=1e-5)
        ((_, sent),) = api.values(f'sum(qstress_monitor_commands_total{{job="{scrape}",build="{cell["build"]}"}})')
        assert sent == cell["commands"]
        of_build = {"job": scrape, "build": cell["build"]}
        assert api.value("qstress_storm_events_total", **of_build, kind="move") == cell["kicks"]["moves"]
        watched_s = api.value("qstress_storm_watched_seconds_total", **of_build, kind="move")
        assert watched_s == pytest.approx(cell["kicks"]["seconds"])
        boots = api.value("qstress_boot_seconds_count", job=scrape, build=cell["build"])
        assert boots == cell["outcomes"]["ok"]
        assert api.value("qstress_lanes", job=scrape) == cell["lanes"]
    evidence = summary["compare"]["evalue_log10"]
    assert api.value("qstress_evidence_log10", job=scrape, candidate="healthy") == pytest.approx(evidence, rel=1e-5)
    assert api.value("qstress_run_info", job=scrape, run=summary["run"], accel="tcg") == 1


async def test_every_panel_and_rule_shows_the_soak_as_summary_json_has_it(tmp_path: Path) -> None:
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    since_s = time.time()
    with ExitStack() as stack:
        exporter = stack.enter_context(Exporter(("127.0.0.1", 0), textfiles, "nightly-live", print))
        textfile_port = stack.enter_context(textfile_server(textfiles))
        soak = begin(tmp_path, stack)
        assert exporter.url is not None
        port = int(exporter.url.split(":")[2].split("/")[0])
        api = stack.enter_context(prometheus(tmp_path, port, textfile_port, "qstress-nightly-live.prom"))
        async with exporter.following(soak.measured):
            await until(api.ready)
            zeros = "count(qstress_trials_total == 0)"  # a zero to count from, in both jobs
            await until(lambda: [v for _, v in api.values(zeros)] == [2 * 2 * 8])
            assert await soak.run() == 0
            done = 'sum(qstress_trials_total{job="qstress"})'
            await until(lambda: [v for _, v in api.values(done)] == [12])
            written = json.loads((soak.store.path / "summary.json").read_text())
            await run_sync(assert_equals_summary, api, "qstress", written)
        await until(lambda: bool(api.values('qstress_run_verdict{job="qstress-textfile",verdict="passed"} == 1')))
        assert_equals_summary(api, "qstress-textfile", written)

        daily = "config_build_smp:qstress_hang_ratio:rate1d"
        faulty = next(cell for cell in written["cells"] if cell["build"] == "faulty")
        estimate = pytest.approx(faulty["hang_rate"]["estimate"], rel=0.01)
        await until(lambda: [v for _, v in api.values(f'{daily}{{build="faulty"}}')] == [estimate])

        found = list(panel_data(api, since_s))
        found += [(query, api.values(query.expr)) for query in rule_queries()]
        assert {query.where for query, data in found if not data} == EMPTY
        states = [rule for group in api.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        assert len(states) == len(rules())
        assert {(rule["health"], rule.get("lastError")) for rule in states} == {("ok", None)}


def qstress(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of qstress on the runs in *folder*."""
    return subprocess.run(
        [sys.executable, "-m", "qstress", *arguments, "--runs-dir", str(folder / "runs")], capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def soak_command(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``qstress soak`` with *settings* over the configuration of this module."""
    path = folder / "soak.yaml"
    path.write_text(CONFIG)
    return qstress(folder, "soak", "-c", str(path), *(word for setting in settings for word in ("--set", setting)))


def test_an_address_in_use_is_said_before_anything_boots(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = soak_command(tmp_path, f"metrics.listen={address}")
    assert done.returncode == 4
    assert done.stderr.endswith(f"qstress: metrics.listen: cannot serve at {address}: Address already in use\n")
    assert not (tmp_path / "runs").exists()


def test_the_command_leaves_the_textfile_of_its_run(tmp_path: Path) -> None:
    done = soak_command(tmp_path, "stop.trials=2", "metrics.listen=127.0.0.1:0", f"metrics.textfile={tmp_path}")
    assert done.returncode == 5, done.stderr
    assert "metrics: http://127.0.0.1:" in done.stderr
    written = (tmp_path / "qstress-nightly-live.prom").read_bytes()
    assert b'qstress_run_verdict{config="nightly-live",verdict="inconclusive"} 1.0' in written
    assert promtool("check", "metrics", stdin=written).returncode == 0
    history = qstress(tmp_path, "runs", "--format", "openmetrics").stdout.splitlines()
    (ended,) = [line for line in history if re.search('build="healthy".*outcome="ok".* 1.0 ', line)]
    assert ended.startswith("qstress_trials_total{")
    assert 'config="nightly-live"' in ended
    assert history[-1] == "# EOF"
