# One virtual environment, made once and reused. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Extra arguments for pip, for instance an index that has CPU builds of PyTorch.
PIP_ARGS ?=
# Three test files at a time, the long ones first: they wait as much as they compute, so two left two cores half idle.
# `make test TEST_ARGS=` runs one after the other, `TEST_ARGS="-s …"` shows figures.
TEST_ARGS ?= --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: help serve test check lint bench bench-curves clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Footnote needs Python 3.11 or newer; $$($(PYTHON) --version) is $(PYTHON). Try: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python can't make virtual environments here. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing Footnote into $(VENV) (some minutes, once)…"
	@$(BIN)/pip install --quiet $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing Footnote and its test tools into $(VENV) (some minutes, once)…"
	@$(BIN)/pip install --quiet $(PIP_ARGS) -e '.[dev]'
	@touch $@ $(VENV)/.installed

serve: $(VENV)/.installed ## install, and start the service on 127.0.0.1:8000
	@$(BIN)/footnote serve

test: $(VENV)/.installed-dev ## install what the tests need, and run them all
	@$(BIN)/python -m pytest $(TEST_ARGS)

lint: $(VENV)/.installed-dev ## style, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test ## everything that must pass before a commit

bench: $(VENV)/.installed-dev ## measure, beside the bare libraries: make bench SITE=DIR
	@test -n "$(SITE)" || { echo "Name a folder of HTML pages: make bench SITE=DIR"; exit 2; }
	@$(BIN)/python -m bench "$(SITE)" $(BENCH_ARGS)

bench-curves: $(VENV)/.installed-dev ## the first stage at 1,000 to 100,000 chunks, beside the bare libraries: make bench-curves SITE=DIR
	@test -n "$(SITE)" || { echo "Name a folder of HTML pages: make bench-curves SITE=DIR"; exit 2; }
	@$(BIN)/python -m bench.curves "$(SITE)" $(BENCH_ARGS)

clean: ## remove the virtual environment and caches (never your data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
