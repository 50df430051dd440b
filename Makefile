# Every target sets itself up: nothing is assumed but Python 3.11 or later, git and make.
# PYTHON= names another interpreter for the environment; ARGS= is passed on to the target's program, SEED= to simulate.
# The tests run in as many processes as there are cores; ARGS="-n 0" runs them in one, for a debugger for instance.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard bus adapters domain readmodels bench)

.PHONY: help demo test check format bench simulate fuzz soak clean

help:
	@echo "make demo    play a week of real flights through the bus"
	@echo "make test    run the tests, with coverage, on all cores"
	@echo "make check   format, lint, types, import contracts, tidiness"
	@echo "make format  put the code into the format that check asks for"
	@echo "make bench   run all benchmarks, one JSON line a case"
	@echo "make simulate    replay the simulated history of SEED=0"
	@echo "make fuzz    feed everything that reads bytes with ever new inputs, for SECONDS=60"
	@echo "make soak    mixed load for SECONDS=600, and whether anything grows or is left behind"
	@echo "make clean   remove the environment and everything generated"

demo: $(VENV)/.demo
	$(BIN)/doubledecker demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal --cov --cov-report=term $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy $(SOURCES) tests
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/architecture

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

simulate: $(VENV)/.demo
	$(BIN)/doubledecker simulate --seed $(or $(SEED),0) $(ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzzing --seconds $(or $(SECONDS),60) $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m bench --case soak --seconds $(or $(SECONDS),600) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage build dist

# One stamp for each set of packages; what the tests need contains what the demo needs.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)/.demo $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
