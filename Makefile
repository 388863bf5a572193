# Two targets do all their own set-up: `make demo` and `make test`.  `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=CI)
# a test of the kernel has the machine to itself all the same (tests/conftest.py)
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PROBES := $(wildcard probes/*.c probes/*.h)

.PHONY: help demo test prepare lint format unit kernel bench-diagnosis bench-recording recording pictures screens load churn clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## trace the five server models under load (sets everything up; needs root or sudo)
	@.ci/prepare demo
	@$(SUDO) $(PYTHON) -m sockscope demo

test: prepare lint ## lint, types, layers and all tests (sets everything up; needs root or sudo)
	$(SUDO) $(PYTHON) -m pytest $(PARALLEL)

prepare: ## what the tests need: system packages and .venv
	@.ci/prepare test

.PHONY: lock test-packages test-faults fuzz
lock: ## resolve the Python packages anew into .ci/locked-*.txt
	.ci/lock

lint: ## ruff, mypy, import layers, clang-format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	clang-format --dry-run --Werror $(PROBES)

format: ## put everything into shape
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	clang-format -i $(PROBES)

unit: ## tests that need no root
	$(PYTHON) -m pytest $(PARALLEL) -m 'not kernel and not servers and not slow'

kernel: ## tests that need root and a kernel
	$(SUDO) $(PYTHON) -m pytest -m 'kernel and not slow'

test-faults: prepare ## every fault of docs/reliability.md, and its table (15 minutes at most)
	$(SUDO) env WRITE_RELIABILITY=1 timeout -k 10 900 $(PYTHON) -m pytest -m 'slow or not slow' tests/faults

fuzz: prepare ## every reader fed by atheris for 20 s, command lines by hypothesis (10 minutes at most)
	$(PYTHON) -m pip install -q --disable-pip-version-check --require-hashes -r .ci/locked-fuzz.txt
	timeout -k 10 400 $(PYTHON) -m tests.fuzz.run --seconds 20 --write
	timeout -k 10 200 $(PYTHON) -m pytest -q --hypothesis-profile=new -m 'slow or not slow' tests/fuzz

test-packages: prepare ## the wheel by pipx and uv, and in trees of Debian 12 and 13 (downloads; 15 minutes at most)
	@.ci/prepare packages
	$(SUDO) timeout -k 10 900 $(PYTHON) -m pytest -m 'slow or not slow' tests/packages

.PHONY: bench bench-quick
bench: ## what tracing costs, beside other tools; writes docs/benchmarks/ (at most 50 minutes)
	@.ci/prepare bench
	$(SUDO) $(PYTHON) -m tests.benchmarks --fresh --minutes 47

bench-quick: ## the same once and shortly; writes nothing (some 5 minutes)
	@.ci/prepare bench
	$(SUDO) $(PYTHON) -m tests.benchmarks --quick

.PHONY: test-kernels
test-kernels: prepare ## every way to a signal on this, 6.1 and 6.12, in qemu; writes docs/kernels.md (an hour at most)
	@.ci/prepare kernels
	$(SUDO) timeout -k 10 3600 $(PYTHON) -m tests.kernels.matrix --write

bench-diagnosis: prepare ## the fault bench, 2 seeds a case; writes docs/diagnosis.md (about half an hour)
	$(SUDO) $(PYTHON) -m tests.diagnosis.bench --seeds 2 --write

bench-recording: prepare ## ten million events, a million connections, fifty kills; writes docs/recording.md (10 minutes)
	$(SUDO) $(PYTHON) -m pytest -m slow tests/unit/store tests/unit/session tests/kernel/test_detail.py tests/kernel/test_replay_equals_live.py
	$(SUDO) $(PYTHON) -m tests.recording.bench --write

recording: ## record anew what the docs show (root; after a change of the schema), then the pictures
	$(SUDO) $(PYTHON) docs/recordings/make.py
	$(PYTHON) docs/pictures/make.py

.PHONY: report-scale
report-scale: prepare ## reports of a million connections and of 500 hosts, against their bounds (2 minutes; 5 at most)
	timeout -k 10 300 $(PYTHON) -m pytest -s -m slow tests/unit/report/test_a_million.py

.PHONY: man
man: ## the manual page, from the commands themselves
	$(PYTHON) docs/man/make.py

pictures: ## the pictures of README and docs, from the shipped recording
	$(PYTHON) docs/pictures/make.py

screens: ## the dashboard's screens in every state, size and theme, against their pictures (3 minutes)
	timeout -k 10 600 $(PYTHON) -m pytest -m slow tests/tui/test_every_state.py tests/tui/test_keys.py tests/tui/test_hostile_names.py

churn: prepare ## attached and detached 100 times under full load (10 minutes at most)
	$(SUDO) timeout -k 10 600 $(PYTHON) -m pytest -m slow tests/servers/test_real_churn.py

load: ## the dashboard under 20,000 connections a second, in a terminal (20 minutes, most of it for its memory)
	$(SUDO) timeout -k 10 2700 $(PYTHON) -m pytest -m slow -s tests/tui/test_largest_load.py tests/tui/test_load.py

clean: ## remove what was built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
