# Everything that people and CI run. `make help` lists it. Nothing needs to be set up first.

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(PYTHON) -m pytest
SOURCES := skyops_p2p tests bench contracts examples docs protocol
QUICK := repo vectors property unit gateway simulation
# One lane more than cores, as some tests wait; files in the order of their names, so that the longest lane begins first.
# Which tests stay together, tests/conftest.py says.
LANES := -n $(shell expr $$(nproc 2>/dev/null || echo 2) + 1) --no-loadscope-reorder
ARGS ?=

# Compiled modules are kept: tests start hundreds of processes, and without them each compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo scenarios test check static format fuzz vectors machines contracts prove bench docs constraints clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with skyops and its tools (a few minutes the first time)
	@.ci/setup

demo: setup ## watch a network of eight nodes come up, train, lose the worker half-way and go on elsewhere
	@$(VENV)/bin/skyops demo $(ARGS)

scenarios: setup ## run every scenario of the demonstration, two or three minutes each (tests run the default one)
	@set -e; for name in $$($(VENV)/bin/skyops demo --list --json | $(PYTHON) -c \
	"import json, sys; print(*(one['name'] for one in json.load(sys.stdin)['scenarios']))"); \
	do echo "--- $$name"; $(VENV)/bin/skyops demo --scenario $$name $(ARGS); done

test: setup ## run all tests (ARGS="-k handshake" selects)
	@$(PYTEST) $(LANES) $(ARGS)

check: static ## what to run before a commit, some minutes: static checks and the quick tests
	@$(PYTEST) -q -m "not process and not interop and not slow" $(LANES) $(addprefix tests/,$(QUICK)) $(ARGS)

static: setup ## format, lint, types and imports, without changing anything
	@$(PYTHON) -m ruff format --check $(SOURCES)
	@$(PYTHON) -m ruff check $(SOURCES)
	@mkdir -p build/typings
	@ln -sfn "$$($(PYTHON) -c 'import os, trio; print(os.path.dirname(trio.__file__))')" build/typings/trio
	@MYPYPATH=build/typings $(PYTHON) -m mypy
	@$(VENV)/bin/lint-imports

format: setup ## format the source and mend what can be mended by itself
	@$(PYTHON) -m ruff format $(SOURCES)
	@$(PYTHON) -m ruff check --fix $(SOURCES)

fuzz: setup ## feed every decoder a million inputs, guided by coverage where atheris can be installed
	@$(PYTHON) -m pip install -qq -c constraints.txt -e '.[fuzz]' || echo "without atheris: not guided by coverage"
	@$(PYTHON) -m tests.fuzz.run $(ARGS)

vectors: setup ## write protocol/vectors anew from the code
	@$(PYTHON) -m tests.vectors.generate

machines: setup ## draw protocol/machines anew from the tables in core/
	@$(PYTHON) protocol/machines/generate.py

contracts: setup ## compile contracts/src into contracts/artifacts anew
	@$(PYTHON) contracts/build.py

prove: setup ## prove properties of the contracts with halmos (installed into build/halmos), and run forge's invariants
	@test -x build/halmos/bin/halmos || { $(PYTHON) -m venv build/halmos && build/halmos/bin/pip install -q halmos==0.3.3; }
	@$(PYTEST) -q -rs tests/contracts/test_forge.py $(ARGS)

bench: setup ## run the benchmarks and print their tables
	@$(PYTHON) -m bench $(ARGS)

docs: setup ## write the generated pages (docs/cli.md, docs/configuration.md, docs/limits.md, docs/outcomes.md) anew
	@$(PYTHON) docs/generate.py

constraints: setup ## pin the versions that are installed now
	@{ sed -n '/^#/p' constraints.txt; $(PYTHON) -m pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## delete the virtual environment and all caches
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
