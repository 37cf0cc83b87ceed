# Every target sets up what it needs in this folder, and finds it ready the next time.
#   make simulate   an update run over a simulated cluster, live
#   make test       all that CI runs: lint, tests, and the wheel that would be shipped

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null))
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard src tests benchmarks)

ARGS ?=
WORKERS ?= 2

# uv leaves no bytecode behind, and where none may be written every start would compile for a second: imported once,
# what a run and a simulation need is there.
WARM := bottlerocket_ecs_updater.cli.commands.run, bottlerocket_ecs_updater.cli.commands.simulate, bottlerocket_ecs_updater.simulator.wire

.PHONY: help setup simulate test quick lint format unit docs docs-site wheel dist image publish acceptance acceptance-clean bench soak mutants lock clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

simulate: $(VENV)/simulate.stamp ## An update run over a simulated cluster; ARGS="--help" lists what can be changed
	@$(BIN)/bottlerocket-ecs-updater simulate $(ARGS)

test: lint unit wheel ## All that CI runs

# The core whole, and of every other kind of test one file that is quick: less than a minute on two cores of their own.
QUICK := tests/core tests/engine/look tests/engine/lease/test_lease.py tests/faults/test_updates.py \
    tests/policy/test_stories.py tests/report/outputs/test_log.py tests/cli/test_pages.py tests/performance \
    tests/mutants/test_mutants.py tests/test_repository.py

quick: $(VENV)/dev.stamp ## Style, import direction, and the quickest tests of each kind, in less than a minute
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	.ci/words
	$(BIN)/python -m pytest -q -n $(WORKERS) $(QUICK) $(ARGS)

lint: $(VENV)/dev.stamp ## Style, types, import direction, templates, workflows, words
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	if compgen -G 'stacks/*.yaml' >/dev/null; then $(BIN)/cfn-lint stacks/*.yaml; fi
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yaml
	.ci/words

format: $(VENV)/dev.stamp ## Let ruff mend what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

unit: $(VENV)/dev.stamp ## The tests; ARGS="-k drain" picks some
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

docs: $(VENV)/dev.stamp ## Write those tables of the documentation anew that follow from the program
	$(BIN)/python -m tests.cli.pages

docs-site: $(VENV)/dev.stamp $(VENV)/docs.stamp ## Build the docs site in build/site, strictly; it can be read from the disk
	$(BIN)/python site/build.py

wheel: $(VENV)/dev.stamp ## Build the wheel, install it by its lock in an environment of its own, and run it
	.ci/wheel $(BIN)/python

dist: $(VENV)/dev.stamp ## The wheel and the source archive of a release, in dist
	rm -rf dist
	$(BIN)/hatchling build --target wheel --target sdist

image: $(VENV)/dev.stamp ## Build the image; ARGS="--arch arm64 --tag NAME" as image/build has them
	image/build $(BIN)/python $(ARGS)

publish: $(VENV)/dev.stamp ## Build and push the image to REGISTRY=, and print the line that installs it; ARGS="--arch arm64"
	@image/publish $(BIN)/python "$(REGISTRY)" $(ARGS)

# What it costs and does: docs/develop/acceptance.md.
acceptance: $(VENV)/dev.stamp ## Verify on an account of yours: REGION= SUBNETS= IMAGE=…@sha256:…; ARGS="--simulated" costs nothing
	@$(BIN)/python -m acceptance $(if $(REGION),--region $(REGION)) $(if $(SUBNETS),--subnets $(SUBNETS)) $(if $(IMAGE),--image $(IMAGE)) $(ARGS)

acceptance-clean: $(VENV)/dev.stamp ## Delete what an acceptance run left in REGION=
	@$(BIN)/python -m acceptance --clean --region "$(REGION)"

bench: $(VENV)/dev.stamp ## Measure how fast it is, and write it down; ARGS="--quick" in two minutes, to the terminal only
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/dev.stamp ## Invent stories of faults and deaths for SECONDS=60, from FIRST_SEED=1000 on
	SECONDS_TO_SOAK=$(or $(SECONDS),60) FIRST_SEED=$(or $(FIRST_SEED),1000) $(BIN)/python -m tests.properties.soak

mutants: $(VENV)/dev.stamp ## Break the program on purpose, and write down which test notices; ARGS="lease" picks some
	$(BIN)/python -m tests.mutants $(ARGS)

lock: ## Resolve the locked versions anew, all from one resolution
	PYTHON=$(PYTHON) .ci/lock

setup: $(VENV)/dev.stamp ## What a developer needs, in .venv

clean: ## Remove what the targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The package itself is installed without looking anything up: the lock is the only list of what is needed.
$(VENV)/%.stamp: requirements/%.lock pyproject.toml
	PYTHON=$(PYTHON) .ci/install $(VENV) $*
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import $(WARM)'
	@touch $@
