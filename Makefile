# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin

# One thread for each process: more only gets in its own way on molecules of this size.
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1
export HF_DATASETS_OFFLINE ?= 1
# Tests start hundreds of processes; each would compile the modules it imports if none could write them down.
unexport PYTHONDONTWRITEBYTECODE
# Environments of families whose packages contradict those of others; the tests of these families run in them.
export MLIP_OOD_ENVIRONMENTS ?= $(CURDIR)/.environments
FAMILIES ?= sevennet nequip so3lr
ML_PEG := $(MLIP_OOD_ENVIRONMENTS)/ml-peg
# Its validator is read from the wheel; it asks for a newer Python, so it is not installed.
EVERY_EVAL_EVER ?= every-eval-ever==0.3.0
# Processes that share the tests; a file goes to one of them, so that what its tests share is made once. The longest
# files come first (tests/conftest.py), so the plug-in's own order, by number of tests, is off.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
# pip compiles modules one after the other. Files that are templates cannot be compiled, which is no error.
COMPILE := $(BIN)/python -m compileall -qq -j $(WORKERS) $(VENV)/lib || true
ENVIRONMENTS := $(FAMILIES:%=$(VENV)/.environment-%) $(VENV)/.every-eval-ever $(VENV)/.chromium

.PHONY: demo test test-faults fuzz lint pytest slow coverage mutation ml-peg docs notebook matrix audit clean

demo: $(VENV)/.demo
	$(BIN)/python -m harness --model reference --model gfn2-xtb --model gfn1-xtb --model mmff94 --model zero --task task2 --dataset mini --output results

# Linters run while the environments of families are installed.
test:
	@$(MAKE) --no-print-directory --jobs 2 lint $(ENVIRONMENTS)
	@$(MAKE) --no-print-directory pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: $(VENV)/.dev $(ENVIRONMENTS)
	$(PYTEST)

slow: $(VENV)/.dev $(ENVIRONMENTS) ml-peg
	$(PYTEST) -m "slow or not slow"

# ml-peg with this benchmark in it, whose slow test runs its commands. It needs 300 packages, so `make test` does without.
ml-peg: $(ML_PEG)/.made

$(ML_PEG)/.made: tests/harness/peg/requirements.txt | $(VENV)/.dev
	rm -rf $(ML_PEG)
	$(BIN)/python -m venv $(ML_PEG)
	$(ML_PEG)/bin/pip install --quiet --disable-pip-version-check --no-compile "$(TORCH)"
	$(ML_PEG)/bin/pip install --quiet --disable-pip-version-check --no-compile --no-deps -r $<
	$(ML_PEG)/bin/pip install --quiet --disable-pip-version-check --no-compile --no-deps -e .
	@touch $@

# The documentation site, from docs/; open build/docs/index.html.
docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W --keep-going -q -d build/docs-doctrees docs build/docs

# Runs the example notebook and stores its outputs.
notebook: $(VENV)/.dev
	$(BIN)/python -m tests.notebook

# Kills, damaged files, full disks, clocks, pairs of processes, Hubs and workers: 200 kills and more, hours on two cores.
test-faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults

# Lines and branches that tests run, in all processes; about twice the time of the tests.
coverage: $(VENV)/.dev $(ENVIRONMENTS) $(VENV)/.coverage
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

# Changes the code of metrics, intervals, packing, schema and certificate in some 1,800 places, and runs their tests
# for each; an hour on one core. tests/mutation.py lists what none noticed, and why.
mutation: $(VENV)/.dev $(VENV)/.mutmut
	$(BIN)/mutmut run --max-children $(WORKERS)
	$(BIN)/python -m tests.mutation

# Spoiled files of every kind that strangers write, for each reader: ten minutes; a short form is in `make test`.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seconds 600

# The wheel alone, with three Pythons, newest and lowest versions of what it needs; downloads several gigabytes.
matrix: $(VENV)/.dev
	$(BIN)/python -m tests.matrix

# Known vulnerabilities of the pinned versions; needs the advisories of the package index, and fails without them.
audit: $(VENV)/.dev
	$(BIN)/uv tool run pip-audit@2.10.1 --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt

$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) -c constraints.txt -e ".[all]"
	$(COMPILE)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -c constraints.txt -e ".[all,dev]"
	$(COMPILE)
	@touch $@

$(VENV)/.environment-%: $(VENV)/.dev harness/worker/family_environments.py
	$(BIN)/python -m harness env create $*
	@touch $@

# Tests of pages need a browser. Where none is installed and none can be, they are skipped and say so.
$(VENV)/.chromium: $(VENV)/.dev
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { command -v apt-get >/dev/null && apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core bubblewrap >/dev/null; } \
	  || echo "no Chromium and none could be installed: tests of pages will be skipped"
	@touch $@

$(VENV)/.coverage: $(VENV)/.dev
	$(PIP) -c constraints.txt "coverage>=7.10"
	@touch $@

$(VENV)/.mutmut: $(VENV)/.dev
	$(PIP) -c constraints.txt "mutmut==3.8.1"
	@touch $@

$(VENV)/.every-eval-ever: $(VENV)/.dev
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --ignore-requires-python -d $(MLIP_OOD_ENVIRONMENTS) $(EVERY_EVAL_EVER)
	@touch $@

clean:
	rm -rf $(VENV) $(MLIP_OOD_ENVIRONMENTS) .matrix build dist results .mypy_cache .ruff_cache .pytest_cache .import_linter_cache mutants .coverage
