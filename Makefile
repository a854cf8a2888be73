# Everything that a newcomer runs. `make demo` and `make test` need nothing done before them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(foreach p,/usr/bin/python3 python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
PYTEST_MORE ?=
WITH_POOL ?= tests/integration tests/faults
BENCH_FOLDER ?= /var/tmp/loans-bench

.PHONY: help
help:  ## Tell what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: setup
setup: $(STAMP)  ## Make .venv with pinned, hash-checked packages

# The htcondor wheel alone has a range: the index keeps only the newest wheels of each of its series.
$(STAMP): requirements/lock.txt requirements/htcondor.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found: install python3 and python3-venv, or run 'make PYTHON=/path/to/python3'." >&2; exit 1; }
	@echo "== environment: $(VENV), from $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes --no-deps -r requirements/lock.txt
	$(INSTALL) --no-deps -r requirements/htcondor.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(STAMP) requirements/dev.txt
	$(INSTALL) --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

.PHONY: lock
lock:  ## Pin the whole closure again (names, versions and hashes only)
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet 'pip-tools>=7.5'
	$(COMPILE) --upgrade --extra build --output-file requirements/compiled.txt pyproject.toml
	$(PYTHON) requirements/without_htcondor.py requirements/compiled.txt requirements/lock.txt
	$(COMPILE) --constraint requirements/lock.txt --extra build --extra dev --extra bench --output-file requirements/compiled.txt pyproject.toml
	$(PYTHON) requirements/without_htcondor.py requirements/compiled.txt requirements/dev.txt
	rm -rf $(VENV)-lock requirements/compiled.txt

.PHONY: check
check: $(DEV_STAMP)  ## Lint, format check and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: unit
unit: $(DEV_STAMP)  ## The tests that need no pool (under a minute)
	@# Half again as many at a time as there are cores: some tests wait more than they work.
	$(BIN)/python -m pytest tests/unit -n $$(( ($$(nproc) * 3 + 1) / 2 )) --dist worksteal

# The unit is judged by systemd itself, the model card by a real browser, which needs letters to draw.
.PHONY: judges
judges:
	@command -v systemd-analyze >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd; } || \
	  { echo "The tests need systemd-analyze: install systemd as root." >&2; exit 1; }
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } || \
	  { echo "The tests need a browser: install chromium as root." >&2; exit 1; }

.PHONY: test
test: judges unit  ## Every test but the slow ones of faults; starts a real HTCondor pool of its own
	$(BIN)/python -m pytest $(WITH_POOL)

.PHONY: docs
docs: setup  ## Write the pages of docs/ that are made from the code's tables
	$(BIN)/python -m inbox_watcher.explain.documents docs

.PHONY: test-faults
test-faults: $(DEV_STAMP)  ## Every test of faults: kills, storage trouble, a pool that breaks, a flood of files (about 15 minutes)
	@# Each half waits more than it works: side by side they take the time of the longer one.
	export LOANS_FAULTS=all; $(BIN)/python -m pytest tests/faults/test_kill_at_failpoints.py & kills=$$!; \
	$(BIN)/python -m pytest tests/faults --ignore tests/faults/test_kill_at_failpoints.py -s; others=$$?; \
	wait $$kills && exit $$others

.PHONY: test-lab
test-lab: $(DEV_STAMP)  ## Real machines, NFS, systemd and HTCondor: needs the lab (LOANS_LAB), root and half an hour
	$(BIN)/python -m pytest tests/lab -s

.PHONY: demo
demo: setup  ## From nothing to published predictions on a pool on this machine
	PYTHONUNBUFFERED=1 $(BIN)/python -m loans.demo

.PHONY: bench
bench: $(DEV_STAMP)  ## Measure, and write docs/benchmarks.md (about 10 minutes, 4 GB in BENCH_FOLDER)
	$(BIN)/python -m benchmarks.bench $(BENCH_FOLDER)

.PHONY: clean
clean:  ## Remove what make made (not the demo's folder)
	rm -rf $(VENV) $(VENV)-lock build *.egg-info .mypy_cache .ruff_cache .pytest_cache
