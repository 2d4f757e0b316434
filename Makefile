# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-oldest lint bench clean

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OLDEST ?= .venv-oldest
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# A checkout installs itself editable; the stamp is renewed when the metadata change.
$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

# torch comes first and pinned, so that no other requirement can pull the CUDA build.
$(VENV)/.all: $(VENV)/.core
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[sources,train,profile,cluster,fit,bayes,adapters,asic,notebooks,test,lint]'
	@touch $@

demo: $(VENV)/.core  ## install the core, search an embedded problem, draw its front
	$(BIN)/nasbench-mo demo

test: $(VENV)/.all  ## install the extras and run the whole suite
	$(BIN)/python -m pytest --numprocesses 2 --timeout 900
	$(BIN)/python -m pytest --numprocesses 0 --nbmake --nbmake-timeout=240 notebooks

test-all: test  ## the suite, what takes minutes, and 10,000 damaged files for the readers
	$(BIN)/python -m pytest --numprocesses 2 --timeout 1800 -m slow
	PYTHONPATH=tests $(BIN)/python -m fuzz 10000

# The lowest version of everything that the core asks for, and nothing of an extra.
$(OLDEST)/.made: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct --editable .
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python pytest hypothesis hatchling
	@touch $@

test-oldest: $(OLDEST)/.made  ## run the core's tests with the oldest versions that pyproject.toml allows
	$(OLDEST)/bin/nasbench-mo versions
	$(OLDEST)/bin/python -m pytest --core -W default tests nasbench_mo --ignore=nasbench_mo/adapters

lint: $(VENV)/.all  ## ruff, mypy and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.all  ## measure the figures of README, with their floors and peers in the same run
	mkdir -p build
	$(BIN)/python -m pytest tests/bench -o python_files='bench_*.py' --benchmark-only --benchmark-json=build/bench.json
	$(BIN)/python tests/bench/report.py build/bench.json

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) $(OLDEST) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
