# Each target is complete by itself: the first call sets up what is missing, later calls only look whether it is there.
VENV := .venv
BIN := $(VENV)/bin
# Without a /dev/kvm that we may use: on an emulated host, which has one.
CONFIG ?= $(shell test -w /dev/kvm && echo configs/quickstart.yaml || echo configs/emulated.yaml)
SCALE ?= 1.0

.PHONY: help soak test test-emulated lint bench accuracy dashboards clean
help:
	@echo "make soak   find the race in live guests (CONFIG=$(CONFIG)); 2 minutes, up to 6 without /dev/kvm"
	@echo "make test   the whole gate: lint, types, unit tests, live tests"
	@echo "make test-emulated  the live KVM tests on an emulated host, for machines without /dev/kvm; slow"
	@echo "make bench  what qstress itself costs, as ratios within one run"
	@echo "make accuracy  how often verdicts are right, on live guests with a known truth; hours (SCALE=0.01: a try-out; INTO=file: in pieces)"
	@echo "make dashboards  the JSON of dashboards/grafana again from dashboards/src"

soak: $(VENV)/run
	@.ci/host run
	@$(BIN)/qstress soak --config $(CONFIG)

test: lint
	@.ci/pytest

test-emulated: $(VENV)/dev
	@.ci/host test
	@$(BIN)/qstress host run -- .ci/pytest -m kvm --timeout 900

lint: $(VENV)/dev
	@.ci/host test
	$(BIN)/ruff check --cache-dir $(VENV)/ruff .
	$(BIN)/ruff format --check --cache-dir $(VENV)/ruff .
	$(BIN)/mypy --cache-dir $(VENV)/mypy
	$(BIN)/lint-imports --cache-dir $(VENV)/import-linter

bench: $(VENV)/dev
	@.ci/host run
	$(BIN)/python -m tools.bench
	$(BIN)/python -m tools.bench_race
	$(BIN)/python -m tools.bench_wide
	$(BIN)/python -m tools.bench_fleet
	$(BIN)/python -m tools.bench_fuzz
	$(BIN)/python -m tools.bench_record

accuracy: $(VENV)/dev
	@.ci/host run
	@$(BIN)/python -m tools.accuracy --scale $(SCALE) $(if $(INTO),--into $(INTO))

dashboards: $(VENV)/dev
	$(BIN)/python -m dashboards.src.build

clean:
	rm -rf $(VENV) build

$(VENV)/python: .ci/host
	@.ci/host venv
	python3 -m venv $(VENV)
	@touch $@

$(VENV)/run: pyproject.toml $(VENV)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: pyproject.toml $(VENV)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/run
