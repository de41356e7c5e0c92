# A fresh clone needs only `make demo` and `make test`: both set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
EMULATORS := .venv-emulators
AUDIT := .venv-audit
BIN := $(VENV)/bin
PYENVS := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions

FUZZ_SECONDS ?= 30
TEST_PROCESSES ?= 2
ENGINES ?= prism flink
PYTEST = $(BIN)/python -m pytest
# A process without tests left takes tests from another process.
PARALLEL = --numprocesses $(TEST_PROCESSES) --dist worksteal

.PHONY: demo test test-slow test-engines check audit fuzz bench emulators test-all-pythons lock clean

demo: $(VENV)/ready  ## Run a real job on sample data, and show its results.
	$(BIN)/beam-batch-predict run examples/penguins/job.json | $(BIN)/python examples/show_results.py -

test: $(VENV)/ready emulators  ## Run the tests, except the slow ones.
	$(PYTEST) $(PARALLEL)

test-slow: $(VENV)/ready emulators  ## Run the slow tests: kills, full disks, compressed bombs, all pairs of formats.
	$(PYTEST) $(PARALLEL) -m "slow and not alone"
	$(PYTEST) -m "slow and alone"

test-engines: $(VENV)/ready  ## Run the same jobs on Beam's job service, Prism (built with Go) and Flink (Java, Maven).
	@$(BIN)/python tests/engines/get_parts.py $(ENGINES)
	$(PYTEST) -m engines tests/engines

check: $(VENV)/ready  ## Check lint, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(AUDIT)/ready  ## Look for known vulnerabilities in the locked dependencies; needs PyPI.
	$(AUDIT)/bin/python .ci/audit.py

$(AUDIT)/ready: .ci/requirements-audit.txt
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

fuzz: $(VENV)/ready  ## Look for input that breaks a guarantee, FUZZ_SECONDS for each target.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3,<4" || true
	@PYTHONPATH=tests $(BIN)/python -m fuzz.driver --seconds $(FUZZ_SECONDS)

bench: $(VENV)/ready  ## Compare the speed with a hand-written loop and with other pipelines.
	$(BIN)/python -m benchmarks.run

emulators: $(EMULATORS)/ready  ## Install the emulators for the tests of Cloud Storage and BigQuery, on Python 3.13.

$(EMULATORS)/ready: tests/cloud/requirements-emulators.lock
	@for python in python3.13 $(PYENVS)/3.13.*/bin/python; do \
	  if $$python -c "" 2> /dev/null; then \
	    echo "== Emulators: $$python"; \
	    if $$python -m venv --clear $(EMULATORS) && $(EMULATORS)/bin/python -m pip install \
	      --quiet --disable-pip-version-check --requirement $<; \
	    then touch $@; else echo "== Emulators: cannot be installed; tests of BigQuery will be skipped"; fi; \
	    exit 0; \
	  fi; \
	done; \
	echo "== Emulators: Python 3.13 is not installed; tests of BigQuery will be skipped"

test-all-pythons:  ## Run the tests on every installed Python from 3.10 to 3.13 (also pyenv's).
	@for version in 3.10 3.11 3.12 3.13; do \
	  found=; \
	  for python in python$$version $(PYENVS)/$$version.*/bin/python; do \
	    if [ -z "$$found" ] && $$python -c "" 2> /dev/null; then found=$$python; fi; \
	  done; \
	  if [ -n "$$found" ]; then \
	    echo "== Python $$version: $$found"; \
	    $(MAKE) test PYTHON=$$found VENV=.venv-$$version || exit 1; \
	  else echo "== Python $$version: not installed, skipped"; fi; \
	done

lock:  ## Write requirements.lock and the requirements of the image again, for every supported Python.
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 \
	  --no-header --no-annotate --quiet --upgrade --output-file requirements.lock
	PATH="$(abspath $(BIN)):$$PATH" templates/make_requirements

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

clean:
	rm -rf .venv .venv-* build out *.egg-info
