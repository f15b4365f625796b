# Everything a fresh machine with Python 3.11 or later and make needs; each target sets itself up.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One process per core; tests that share a server share a process (tests/conftest.py).
PYTEST_ARGS ?= -n auto --dist loadgroup

# What of monitoring is measured (all: empty), and over how many runs of history.
PARTS ?=
RUNS ?= 100000

# Quiet and private: no analytics, no questions, whatever the user's profile says.
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1
export PREFECT_CLI_PROMPT = false

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint format typecheck style docs reference audit counts train bench-api bench-fuzz bench-creation bench-diagnosis bench-language bench-monitoring bench-optimizer bench-faults bench-kills bench-services bench-storm clean

help:  ## Show what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP)  ## Create the virtual environment and install everything into it

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; install it or call make PYTHON=/path/to/python."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot create virtual environments; install its venv package (Debian: python3-venv)."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	@touch $@

demo: $(STAMP)  ## Watch a request become a flow that runs, fails, is diagnosed, resolved and verified (2 min)
	@$(BIN)/prefect-autopilot demo $(DEMO_ARGS)

test: $(STAMP)  ## Run all tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint typecheck style docs  ## Run all static checks, and build the documentation

lint: $(STAMP)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP)  ## Let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# On the checkout mypy silently skips the mapped folders, so it checks the installed wheel.
typecheck: $(STAMP)  ## mypy --strict on the installed wheel
	@rm -rf build/bdist.* build/lib build/site build/wheel  # what a benchmark measured stays
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/site build/wheel/*.whl
	@cd build/site && MYPYPATH=. $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache --strict -p prefect_autopilot

style: $(STAMP)  ## Print the house figures; fail when a limit is broken
	@$(BIN)/python benchmarks/style.py

docs: $(STAMP)  ## Build the documentation site into site/, without the network; a link to nowhere fails it
	@$(BIN)/python benchmarks/build_docs.py

reference: $(STAMP)  ## Write what the code knows into the documents: services, patterns, remedies, settings, ...
	@$(BIN)/python benchmarks/reference.py

audit: $(STAMP)  ## Look the tested dependencies up in the advisory database; needs the network
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && $(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	@$(VENV)/audit/bin/pip-audit --no-deps --disable-pip -r constraints.txt

counts: $(STAMP)  ## Write the counts of the service catalogue into the README
	@$(BIN)/python benchmarks/counts.py

train: $(STAMP)  ## Train the model behind the diagnosis on the provoked failures
	@$(BIN)/python benchmarks/train_diagnosis.py

bench-api: $(STAMP)  ## Read the API at 200 requests/s with 100,000 runs; open the pages in Chromium (4 min)
	@held=0; $(BIN)/python benchmarks/api_load.py || held=1; $(BIN)/python benchmarks/first_paint.py || held=1; exit $$held

bench-fuzz: $(STAMP)  ## Send 20,000 generated requests, right and wrong ones, to every call of the API (8 min)
	@$(BIN)/python benchmarks/api_fuzz.py

bench-creation: $(STAMP)  ## Measure how long it takes from a sentence to the source of its flow
	@$(BIN)/python benchmarks/creation.py

bench-language: $(STAMP)  ## Check and preview flows of many requests, and look at hostile ones (10 min)
	@$(BIN)/python benchmarks/reading.py --time
	@$(BIN)/python benchmarks/reading.py --file benchmarks/reading_requests_later.toml
	@$(BIN)/python benchmarks/language_steps.py
	@$(BIN)/python benchmarks/language.py --check --preview

bench-diagnosis: $(STAMP)  ## Measure the diagnosis on the provoked failures, its calibration, its time beside the API
	@$(BIN)/python benchmarks/diagnosis.py
	@$(BIN)/python benchmarks/diagnosis_calls.py

bench-monitoring: $(STAMP)  ## Measure monitoring (8 min); PARTS="calls failures detection scrape idle memory accuracy"
	@$(BIN)/python benchmarks/ingestion.py --runs $(RUNS) $(PARTS)

bench-services: $(STAMP)  ## Measure calls, catalogue, import and contract tests; write them into docs/services.md (2 min)
	@$(BIN)/python benchmarks/service_figures.py

bench-optimizer: $(STAMP)  ## Measure the optimiser's gains on the flows of this project, for the README (5 min)
	@$(BIN)/python benchmarks/optimizer.py --measure --readme

bench-faults: $(STAMP)  ## Break flows on a real server; compare with doing nothing, always retrying, Prefect's retries (20 min)
	@$(BIN)/python benchmarks/faults/fault_suite.py --docs --json build/faults.json $(FAULTS_ARGS)

bench-kills: $(STAMP)  ## Kill a resolving process at every point of the journal, twenty times each (10 min)
	@$(BIN)/python benchmarks/faults/kill_points.py --docs --json build/kills.json $(KILLS_ARGS)

bench-storm: $(STAMP)  ## Let 10,000 runs fail for three causes, and count sessions, notices, retries (2 min)
	@$(BIN)/python benchmarks/storm.py --docs

clean:  ## Remove what the other targets created
	rm -rf $(VENV) build dist site .cache *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
