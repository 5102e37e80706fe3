"""Two months of nights, made up: the alert fires on the night of the regression and on no night before."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from tests.dashboards.prom import PROMETHEUS, promtool

NIGHTS, TRIALS = 60, 200
BEGINS_H, LASTS_H = 1, 6
#: Hang rate of each (build, smp) on all nights but the last.
RATES = {("unpatched", 4): 0.12, ("unpatched", 64): 0.3, ("patched", 4): 0.01, ("patched", 64): 0.02}
REGRESSED, TO = ("patched", 64), 0.15


def night(counted: int) -> list[int]:
    """Return a counter at each hour of a day whose run begins at zero and ends at *counted*."""
    run = [counted * hour // LASTS_H for hour in range(LASTS_H + 1)]
    return run + [counted] * (24 - len(run))


def history(rng: random.Random) -> list[dict[str, str]]:
    """Return promtool's input series, a value an hour."""
    made = []
    for cell, rate in RATES.items():
        hangs: list[int] = [0] * BEGINS_H
        oks: list[int] = [0] * BEGINS_H
        for number in range(1, NIGHTS + 1):
            p = TO if (number, cell) == (NIGHTS, REGRESSED) else rate
            hung = sum(rng.random() < p for _ in range(TRIALS))
            hangs += night(hung)
            oks += night(TRIALS - hung)
        labels = f'config="nightly",build="{cell[0]}",smp="{cell[1]}"'
        for name, values in (
            (f'qstress_trials_total{{{labels},outcome="ok"}}', oks),
            (f'qstress_trials_total{{{labels},outcome="hang"}}', hangs),
            (f'qstress_hangs_total{{{labels},class="lost-init"}}', hangs),
        ):
            made.append({"series": name, "values": " ".join(map(str, values))})
    return made


def test_the_alert_fires_on_night_60_and_on_no_night_before(tmp_path: Path) -> None:
    alerts = 'ALERTS{alertname="QstressRegression"}'
    fired = '{alertname="QstressRegression",alertstate="firing",severity="critical",config="nightly"'
    before_h, after_h = 24 * (NIGHTS - 1) + BEGINS_H - 1, 24 * NIGHTS
    content = {
        "rule_files": [str(PROMETHEUS / "rules.yml"), str(PROMETHEUS / "alerts.yml")],
        "evaluation_interval": "2h",
        "group_eval_order": ["qstress-daily", "qstress"],
        "tests": [
            {
                "interval": "1h",
                "input_series": history(random.Random(60)),
                "promql_expr_test": [
                    # Each cell had a past to be judged by, so the alert could have fired.
                    {
                        "expr": "count(config_build_smp:qstress_trials:baseline28d >= 100)",
                        "eval_time": f"{before_h}h",
                        "exp_samples": [{"labels": "{}", "value": len(RATES)}],
                    },
                    {"expr": f"count_over_time({alerts}[{before_h}h])", "eval_time": f"{before_h}h", "exp_samples": []},
                    {
                        "expr": f"last_over_time({alerts}[24h])",
                        "eval_time": f"{after_h}h",
                        "exp_samples": [{"labels": f'ALERTS{fired},build="patched",smp="64"}}', "value": 1}],
                    },
                ],
            }
        ],
    }
    path = tmp_path / "history.yml"
    path.write_text(yaml.safe_dump(content))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
