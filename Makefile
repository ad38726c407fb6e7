# Needs Python 3.11 or newer with venv; everything else goes into .venv, from the hashed lock files.
# ARGS reaches the program:  make demo ARGS=--exit   make test ARGS="tests/store -x"

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PYTHON ?=
JOBS ?= 2
ARGS ?=
# The tests start Python hundreds of times: compiling everything anew each time would cost more than they do.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help:  ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(RUN)  ## Replay a recorded day through a real server and show what it found (ARGS=--exit ends it)
	@$(BIN)/watchtower demo $(ARGS)

.PHONY: serve
serve: $(RUN)  ## Start Watchtower on this machine
	@$(BIN)/watchtower serve $(ARGS)

.PHONY: test
test: $(DEV)  ## Run the quick tests, on SQLite and on a PostgreSQL of their own
	@$(BIN)/pytest -q -n $(JOBS) --dist worksteal $(ARGS)

.PHONY: check
check: $(DEV)  ## Lint, format, types, layers, and what the documents promise
	@$(MAKE) --no-print-directory --keep-going check-lint check-format check-types check-layers check-promises

.PHONY: check-lint check-format check-types check-layers check-promises
check-lint: $(DEV)
	$(BIN)/ruff check .
check-format: $(DEV)
	$(BIN)/ruff format --check .
check-types: $(DEV)
	$(BIN)/pyright
check-layers: $(DEV)
	$(BIN)/lint-imports --no-cache
check-promises: $(DEV)
	$(BIN)/pytest -q tests/contract

.PHONY: format
format: $(DEV)  ## Bring the code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(DEV)  ## Write the generated parts of the documents anew
	$(BIN)/python -m tests.contract.architecture --write
	$(BIN)/python -m tests.config.reference --write
	$(BIN)/python -m tests.cli.reference --write
	$(BIN)/python -m tests.server.metrics_reference --write

.PHONY: e2e
e2e: $(DEV)  ## Run the long tests against real services
	@$(BIN)/pytest -q -m e2e -o faulthandler_timeout=900 $(ARGS)

.PHONY: crash
crash: $(DEV)  ## Kill Watchtower wherever it hurts, and count what is lost or seen twice (SEED=… repeats a run)
	@$(BIN)/pytest -q -m crash -n $(JOBS) tests/crash $(ARGS)

.PHONY: fuzz
fuzz: $(DEV)  ## Send what nobody would send in good faith, by the thousand (SEED=… and EXAMPLES=… change it)
	@$(BIN)/pytest -q -m fuzz -n $(JOBS) tests/fuzz $(ARGS)

.PHONY: soak
soak: $(DEV)  ## Load a real Watchtower for minutes, kill it once a minute, overload it, and measure (ARGS="--minutes 60")
	@$(BIN)/python -m tests.crash.soak $(ARGS)

.PHONY: load
load: $(DEV)  ## Send single events and batches of points at a rate, then ten times as much, and count (ARGS="--seconds 60")
	@$(BIN)/python -m tests.crash.load $(ARGS)

.PHONY: bench
bench: $(DEV)  ## Measure speed and memory side by side with the yardsticks
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: mutants
mutants: $(DEV)  ## Put faults into the code, and tell which no test finds (ARGS="--sample 200", ARGS=--seeded)
	@$(BIN)/python -m tools.mutants $(ARGS)

.PHONY: coverage
coverage: $(DEV)  ## Tell which lines and branches the quick tests do not reach (ARGS=tests/store asks some of them)
	@$(BIN)/python -m tools.reach --jobs $(JOBS) $(ARGS)

.PHONY: branches
branches: $(DEV)  ## Fail unless the tests reach every branch of what delivers, routes, times and guards
	@$(BIN)/python -m tools.reach --jobs $(JOBS) --critical

.PHONY: lock
lock: $(DEV)  ## Resolve the dependencies anew, for Python 3.11 and later, with hashes
	$(BIN)/python -m tools.lock $(ARGS)

.PHONY: clean
clean:  ## Remove the environment and every cache
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first interpreter that is new enough, unless PYTHON names one.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$python"; exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "Python 3.11 or newer is needed; install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2

# Everything of the run-time lock is in the development lock, at the same versions.
$(RUN): requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what Watchtower needs to run"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUN)
	@echo "installing what development needs"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
