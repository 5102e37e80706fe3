"""A configuration that is right, for tests that make it wrong in one way."""

from __future__ import annotations

from qstress.config.load import load_config_text
from qstress.config.schema import Config

GOOD = """\
version: 1
name: sample
builds:
  stock: {binary: qemu-system-x86_64}
  fixed: {binary: qemu-system-x86_64, smm_writeback: reset-only}
guest:
  smp: [2, 4]
  memory: 32M
hammer:
  - {command: info registers -a, rate: [max, 500/s]}
stop: {trials: 100, duration: 30m, decided: true}
compare: {baseline: stock, candidate: fixed}
gate: {build: fixed, classes: [lost-init], better_than: stock}
"""


def good(*changes: tuple[str, str]) -> str:
    """The sample's text with each of *changes* (old, new) made; every old must be there."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


#: Turns the sample into a run on two hosts, which are compared.
ON_HOSTS = (
    ("  fixed: {binary: qemu-system-x86_64, smm_writeback: reset-only}\n", ""),
    ("{baseline: stock, candidate: fixed}", "{baseline: {host: old}, candidate: {host: new}}"),
    ("{build: fixed, classes: [lost-init], better_than: stock}", "{max_hang_rate: 0.5}"),
    ("stop:", "hosts: {old: 'emulated:6.1', new: {emulated: {kernel: '6.12', cpus: 1}}}\nstop:"),
)


def config(*changes: tuple[str, str]) -> Config:
    """The sample with *changes*, read."""
    return load_config_text(good(*changes), "sample.yaml")
