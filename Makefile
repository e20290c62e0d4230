# Conch: every task of the repository. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 pyproject.toml

# Three processes load thousands of tests: compiled once, also where Python is told to write nothing.
KEEP_BYTECODE := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/build/pycache

.DEFAULT_GOAL := help
.PHONY: help setup lock check format test demo demo-down clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 18

$(VENV)/.installed: requirements/dev.lock pyproject.toml
	@echo "== Python environment ($(VENV))"
	@$(PYTHON) -c 'import sys; sys.exit("python3 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.installed ## Create .venv from the hash-locked requirements

lock: ## Rewrite requirements/*.lock from pyproject.toml (needs uv)
	$(LOCK) -o requirements/operator.lock
	$(LOCK) --group dev -o requirements/dev.lock

format: setup ## Format the code
	@$(BIN)/ruff check --quiet --fix operator tests e2e charts || true
	@$(BIN)/ruff format --quiet operator tests e2e charts

generate: setup ## Write what follows from the code: crds/, docs/reference/, the chart's values
	@$(BIN)/conch generate
	@$(BIN)/python charts/generate.py

check: setup ## Format, lint, types, layers, unit tests: the inner loop
	@$(BIN)/ruff format --check --quiet operator tests e2e charts || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet operator tests e2e charts
	@$(BIN)/mypy operator/conch e2e
	@$(BIN)/lint-imports --no-cache | tail -1
	@$(KEEP_BYTECODE) $(BIN)/pytest -n 3 --dist worksteal -m "not cluster and not node and not simulation and not slow" tests

test: setup ## All set-up, then every test: unit, control plane, real node, chart
	@$(BIN)/pytest tests --durations=15

demo: ## From nothing to a model that scales with its load (CONTEXT=… for a cluster of your own)
	@$(PYTHON) -m e2e.demo up $(DEMO_FLAGS)

demo-down: ## Take the demo away
	@$(PYTHON) -m e2e.demo down

clean: ## Remove build products (not the cache of built binaries)
	rm -rf build dist $(VENV)

.PHONY: bench
bench: setup ## Measure the figures: a table, and build/bench/bench.json (FIGURES="idle_writes …")
	@$(BIN)/python -m e2e.bench $(FIGURES)

.PHONY: bench-placement
bench-placement: setup ## Placement: optimality, cost, speed, memory, explanations, and live on KWOK (FIGURES="cost_ratio …")
	@$(BIN)/python -m e2e.placement $(FIGURES)

.PHONY: bench-autoscale
bench-autoscale: setup ## Conch's scaler, everyone else's and the oracle on every trace (BENCH_FLAGS="--quick", or "--unseen 1": cases nobody tuned on)
	@$(BIN)/python -m e2e.autoscale $(BENCH_FLAGS)
