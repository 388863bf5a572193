# `make demo` and `make test` set everything up themselves.  `make help` lists all targets.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=CI)
# tests/conftest.py runs kernel tests one at a time, so that nothing disturbs them
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PROBES := $(wildcard probes/*.c probes/*.h probes/steer/*.c)

.PHONY: help demo test prepare lock lint format unit kernel clean
help: ## list all targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: ## trace five server models under load (installs what is missing; root or sudo)
	@.ci/prepare demo
	@$(SUDO) $(PYTHON) -m sockscope demo

test: prepare lint ## run lint and all tests, as CI does (installs what is missing; root or sudo)
	$(SUDO) $(PYTHON) -m pytest $(PARALLEL)

prepare: ## install what the tests need: system packages and .venv
	@.ci/prepare test

lock: ## resolve the Python packages into .ci/locked-*.txt
	.ci/lock

lint: ## run ruff, mypy, import-linter, clang-format and a strict build of the docs
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	clang-format --dry-run --Werror $(PROBES)
	$(MKDOCS) build --strict --quiet $(MKDOCS_FLAGS)

format: ## format Python and C
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	clang-format -i $(PROBES)

unit: ## run the tests that need no root
	$(PYTHON) -m pytest $(PARALLEL) -m 'not kernel and not servers and not slow'

kernel: ## run the tests that trace the running kernel (root)
	$(SUDO) $(PYTHON) -m pytest -m 'kernel and not slow'

clean: ## remove build products and .venv
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

# Documentation -----------------------------------------------------------------------------------
MKDOCS := NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs
MKDOCS_FLAGS := --config-file .ci/mkdocs.yml

.PHONY: docs docs-serve man examples pictures recording
docs: ## build the documentation site into build/site; any warning is an error
	$(MKDOCS) build --strict $(MKDOCS_FLAGS)

docs-serve: ## serve the documentation site with live reload
	$(MKDOCS) serve $(MKDOCS_FLAGS)

man: ## regenerate the manual page from the commands' parsers
	$(PYTHON) -m tests.docs_build.manual_page

examples: ## regenerate the example output in README and tutorials
	$(PYTHON) -m tests.docs_build.examples

pictures: ## regenerate the pictures from the shipped recording
	$(PYTHON) -m tests.docs_build.pictures

recording: ## regenerate the shipped recording and the pictures (root; after a schema change)
	$(SUDO) $(PYTHON) -m tests.docs_build.example_recording
	$(PYTHON) -m tests.docs_build.pictures

# Longer tests ------------------------------------------------------------------------------------
.PHONY: test-faults test-steer fuzz test-packages test-kernels screens report-scale churn load
test-faults: prepare ## inject all faults of docs/reliability.md and write its table (15 minutes)
	$(SUDO) env WRITE_RELIABILITY=1 timeout -k 10 900 $(PYTHON) -m pytest -m 'slow or not slow' tests/faults

fuzz: prepare ## fuzz each parser for 20 s with atheris, command lines with hypothesis (10 minutes)
	$(PYTHON) -m pip install -q --disable-pip-version-check --require-hashes -r .ci/locked-fuzz.txt
	timeout -k 10 400 $(PYTHON) -m tests.fuzz.run --seconds 20 --write
	timeout -k 10 200 $(PYTHON) -m pytest -q --hypothesis-profile=new -m 'slow or not slow' tests/fuzz

test-packages: prepare ## install the wheel with pipx, uv and in trees of Debian 12 and 13 (15 minutes)
	@.ci/prepare packages
	$(SUDO) timeout -k 10 900 $(PYTHON) -m pytest -m 'slow or not slow' tests/packages

test-kernels: prepare ## test each attach method on 6.1, 6.12 and this kernel; write docs/kernels.md (1 hour)
	@.ci/prepare kernels
	$(SUDO) timeout -k 10 3600 $(PYTHON) -m tests.kernels.matrix --write

screens: ## compare all dashboard screens, sizes and themes with their snapshots (3 minutes)
	timeout -k 10 600 $(PYTHON) -m pytest -m slow tests/tui/test_every_state.py tests/tui/test_keys.py tests/tui/test_hostile_names.py

report-scale: prepare ## report 1,000,000 connections and 500 hosts within the limits (5 minutes)
	timeout -k 10 300 $(PYTHON) -m pytest -s -m slow tests/unit/report/test_a_million.py

churn: prepare ## attach and detach 100 times under full load (10 minutes)
	$(SUDO) timeout -k 10 600 $(PYTHON) -m pytest -m slow tests/servers/test_real_churn.py

load: ## run the dashboard at 20,000 connections per second in a terminal (20 minutes)
	$(SUDO) timeout -k 10 2700 $(PYTHON) -m pytest -m slow -s tests/tui/test_largest_load.py tests/tui/test_load.py

test-steer: prepare ## steer servers, kill, reload and refuse (5 minutes)
	$(SUDO) timeout -k 10 600 $(PYTHON) -m pytest -m 'slow or not slow' tests/steer

# Benchmarks --------------------------------------------------------------------------------------
.PHONY: bench bench-quick bench-steer bench-diagnosis bench-field bench-recording bench-what-if
bench: ## measure the overhead against other tools; write docs/benchmarks/ (50 minutes)
	@.ci/prepare bench
	$(SUDO) $(PYTHON) -m tests.benchmarks --fresh --minutes 47

bench-quick: ## run each benchmark once and write nothing (5 minutes)
	@.ci/prepare bench
	$(SUDO) $(PYTHON) -m tests.benchmarks --quick

bench-steer: prepare ## compare hash and steered in interleaved rounds; write docs/steer.md (5 minutes)
	$(SUDO) timeout -k 10 600 $(PYTHON) -m tests.steer.bench --rounds 3 --seconds 7 --write

bench-diagnosis: prepare ## run the diagnosis benchmark with 2 seeds per case; write docs/diagnosis.md (30 minutes)
	$(SUDO) $(PYTHON) -m tests.diagnosis.bench --seeds 2 --write

bench-field: prepare ## run public faults and healthy servers; write docs/field.md (15 minutes)
	$(SUDO) $(PYTHON) -m tests.field.bench --write

bench-recording: prepare ## record 10 million events, 1 million connections, 50 kills; write docs/recording.md (10 minutes)
	$(SUDO) $(PYTHON) -m pytest -m slow tests/unit/store tests/unit/session tests/kernel/test_detail.py tests/kernel/test_replay_equals_live.py
	$(SUDO) $(PYTHON) -m tests.recording.bench --write

bench-what-if: prepare ## predict setups from recordings of others, run them, compare; write docs/what-if.md (10 minutes)
	$(PYTHON) -m pytest -s -m slow tests/unit/whatif
	$(SUDO) $(PYTHON) -m tests.what_if.bench --write
