# Two commands a newcomer needs: `make demo` and `make test`. Both set themselves up: Python 3.11 or later is all it takes.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
WORKERS ?= 2

.PHONY: setup demo test test-slow test-extras check perf reports

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one with: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

# The main job on scikit-learn's handwritten digits, from the start each time.
demo: setup
	@rm -rf build/demo
	@$(BIN)/robustbench-msda run evaluations/demo.toml --workers $(WORKERS) \
		--runs build/demo/runs --results build/demo/results --reports reports

test: setup
	$(BIN)/pytest -n $(WORKERS) -m 'not slow and not extras'

test-slow: setup
	$(BIN)/pytest -m slow

test-extras: setup
	$(BIN)/python -m pip install --quiet --editable '.[dev,ray,slurm,tensorboard,browser]'
	$(BIN)/pytest -m extras

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

perf: setup
	$(BIN)/python -m pip install --quiet --editable '.[perf]'
	$(BIN)/python -m perf

# Tables, charts and pages of every committed study, from its scores alone; ours in the papers' tables that it feeds.
reports: setup
	@for scores in results/scores/*.csv.gz; do \
		$(BIN)/robustbench-msda report "$$(basename "$$scores" .csv.gz)" || exit 1; \
	done
