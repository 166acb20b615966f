# One-word scripts: demo, test, check, bench, conformance. Each sets up its own environment in .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Compiled tests are kept, whatever the environment says: compiling takes each run ten seconds.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n auto

.PHONY: demo test check bench conformance lint fast clean

demo: $(READY)
	$(BIN)/parallel-evm demo

test: $(READY) lint
	$(PYTEST)

check: $(READY) lint fast

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fast: $(READY)
	$(PYTEST) -m "not slow and not conformance" --hypothesis-profile fast

bench: $(READY)
	$(BIN)/parallel-evm bench

# All official tests and all recorded blocks, in each of these ways (backend:workers).
CORPORA ?= $(or $(PARALLEL_EVM_CORPORA),../shared)
WAYS    ?= serial:1 process:2

conformance: $(READY)
	for way in $(WAYS); do \
	  set -- --backend $${way%:*} --workers $${way#*:} && \
	  $(BIN)/parallel-evm conform $(CORPORA)/ethereum-tests "$$@" && \
	  $(BIN)/parallel-evm replay $(CORPORA)/mainnet/* "$$@" || exit; \
	done

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
