# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin

# One thread for each process: more only gets in its own way on molecules of this size.
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1
export HF_DATASETS_OFFLINE ?= 1
# Environments of families whose packages contradict those of others; the tests of these families run in them.
export MLIP_OOD_ENVIRONMENTS ?= $(CURDIR)/.environments
FAMILIES ?= sevennet nequip so3lr
# Processes that share the tests; a file goes to one of them, so that what its tests share is made once.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

.PHONY: demo test lint pytest slow clean

demo: $(VENV)/.demo
	$(BIN)/python -m harness --model reference --model gfn2-xtb --model gfn1-xtb --model mmff94 --model zero --task task2 --dataset mini --output results

test: lint pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: $(VENV)/.dev $(VENV)/.environments
	$(PYTEST)

slow: $(VENV)/.dev $(VENV)/.environments
	$(PYTEST) -m "slow or not slow"

$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]"
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all,dev]"
	@touch $@

$(VENV)/.environments: $(VENV)/.demo harness/worker/family_environments.py
	$(BIN)/python -m harness env create $(FAMILIES)
	@touch $@

clean:
	rm -rf $(VENV) $(MLIP_OOD_ENVIRONMENTS) build dist results .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
