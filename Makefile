# Two commands do all the set-up: `make spin` runs the main job, `make test` passes the checks.
# Both build .venv from requirements.lock first.
#
#   make spin ARGS="my-texts/ --minutes 30"    anything `homespun spin` takes
#   make test WORKERS=4                        so many test processes, of one thread and 2 GB each
#   make parity                                beside KenLM and sentence-transformers, which it installs first
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu    the small CPU build of torch on Linux

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.built-from
PARITY := $(VENV)/.parity-from
TORCH_INDEX ?=
WORKERS ?= 2
ARGS ?= --minutes 10

.PHONY: setup spin test test-all parity golden check format clean
.DELETE_ON_ERROR:

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Homespun needs Python 3.11 or newer (got $$($(PYTHON) --version 2>&1)); set PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names, which takes some minutes"
# Torch alone is asked of that index: pip would look there for every package.
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --retries 1 --index-url $(TORCH_INDEX) $$(grep '^torch==' requirements.lock))
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	cp requirements.lock $(STAMP)

spin: $(STAMP)
	$(BIN)/homespun spin $(ARGS)

# Fast checks first, so that a slip shows within seconds.
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Files are dealt to processes whole, as the tests of a file share what they have built.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-all: check
	$(BIN)/python -m pytest

$(PARITY): $(STAMP) tests/parity/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -r tests/parity/requirements.txt
	cp tests/parity/requirements.txt $(PARITY)

# Tests beside packages that only they need; what these said once is in tests/parity/golden, for all other times.
parity: $(PARITY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/parity

golden: $(PARITY)
	$(BIN)/python tests/parity/make_golden.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
