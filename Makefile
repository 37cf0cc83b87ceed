# Each target installs what it needs in this folder, and finds it there the next time.
#   make simulate   an update run over a simulated cluster, live
#   make test       all that CI runs: lint, tests, and the wheel that would be shipped

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null))
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard src tests benchmarks acceptance)

ARGS ?=
# Many tests wait for processes, or for simulated worlds in real time. More workers than cores keep the cores busy.
WORKERS ?= 4
# Without bytecode, Python compiles its imports at every start, and the tests start it hundreds of times.
export PYTHONDONTWRITEBYTECODE :=

# uv compiles no bytecode. Importing these modules once does it, for runs and simulations.
WARM := bottlerocket_ecs_updater.cli.commands.run, bottlerocket_ecs_updater.cli.commands.simulate, bottlerocket_ecs_updater.simulator.wire

.PHONY: help setup simulate test quick lint types style compiled format unit explore docs docs-site wheel dist image publish acceptance acceptance-clean contract bench soak mutants lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

simulate: $(VENV)/simulate.stamp ## Run against a simulated cluster; ARGS="--help" lists the options
	@$(BIN)/bottlerocket-ecs-updater simulate $(ARGS)

test: $(VENV)/dev.stamp ## Everything that CI runs
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types style compiled
	# Build the wheel while tests wait.
	@$(MAKE) --no-print-directory --jobs=2 unit wheel

# All tests of the core, and one quick file of every other kind: less than a minute on two idle cores.
QUICK := tests/core tests/engine/look tests/engine/lease/test_lease.py tests/faults/test_blockers.py \
    tests/policy/test_stories.py tests/report/outputs/test_log.py tests/cli/test_pages.py \
    tests/mutants/test_mutants.py tests/test_order.py tests/test_repository.py

quick: $(VENV)/dev.stamp ## Style, import direction, and the quickest tests of each kind, in less than a minute
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	.ci/words
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(QUICK) $(ARGS)

lint: $(VENV)/dev.stamp ## Style, types, import direction, templates, workflows, words
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types style

types: $(VENV)/dev.stamp # Takes as long as `style`, on another core.
	$(BIN)/mypy

# The workers start at the same time, so each would compile all tests and what they import. `unit` reports errors.
compiled: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest --collect-only -q >/dev/null || true

style: $(VENV)/dev.stamp
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	if compgen -G 'stacks/*.yaml' >/dev/null; then $(BIN)/cfn-lint stacks/*.yaml acceptance/*.yaml; fi
	# Then lint the state machine, which the linter checks only for an ARN in the partition aws.
	sed -e 's/{ignore_checks: \[E3601\]}/{}/' -e 's/arn:$${Partition}:states/arn:aws:states/' stacks/fleet.yaml | $(BIN)/cfn-lint
	.ci/states $(BIN)/python $(VENV)/node
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yaml
	.ci/words

format: $(VENV)/dev.stamp ## Fix style with ruff
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

unit: $(VENV)/dev.stamp ## Run the tests; ARGS="-k drain" selects some
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

explore: override ARGS += --hypothesis-profile=explore
explore: unit ## Run the tests with new random examples of every property

docs: $(VENV)/dev.stamp ## Regenerate the tables in the documentation and the pages of help
	$(BIN)/python -m tests.cli.pages

docs-site: $(VENV)/dev.stamp $(VENV)/docs.stamp ## Build the docs site in build/site; it can be read from disk
	$(BIN)/python site/build.py

wheel: $(VENV)/dev.stamp ## Build the wheel, install it from its lock in a new environment, and run it
	.ci/wheel $(BIN)/python

dist: $(VENV)/dev.stamp ## Build the wheel and the source archive of a release, in dist
	rm -rf dist
	$(BIN)/hatchling build --target wheel --target sdist

image: $(VENV)/dev.stamp ## Build the image; ARGS="--arch arm64 --tag NAME" as in image/build
	image/build $(BIN)/python $(ARGS)

publish: $(VENV)/dev.stamp ## Build and push the image to REGISTRY=, and print the command that deploys it; ARGS="--arch arm64"
	@image/publish $(BIN)/python "$(REGISTRY)" $(ARGS)

# docs/develop/acceptance.md says what it does and costs.
acceptance: $(VENV)/dev.stamp ## Verify in your own account: REGION= SUBNETS= IMAGE=…@sha256:…; ARGS="--simulated" costs nothing
	@$(BIN)/python -m acceptance $(if $(REGION),--region $(REGION)) $(if $(SUBNETS),--subnets $(SUBNETS)) $(if $(IMAGE),--image $(IMAGE)) $(ARGS)

acceptance-clean: $(VENV)/dev.stamp ## Delete what an acceptance run left in REGION=
	@$(BIN)/python -m acceptance --clean --region "$(REGION)"

# docs/develop/contract.md says what it calls. It uses the credentials of the environment.
contract: $(VENV)/dev.stamp ## Run the simulator's contract tests against AWS, or ENDPOINT=URL; CLUSTER= BUCKET= REGION=
	@CONTRACT_ENDPOINT=$(or $(ENDPOINT),aws) CONTRACT_CLUSTER=$(or $(CLUSTER),demo) CONTRACT_REGION=$(REGION) \
	    CONTRACT_BUCKET=$(or $(BUCKET),the-state-store) $(BIN)/python -m pytest -q -p no:cacheprovider \
	    tests/contract/test_promises_of_aws.py tests/contract/test_object_stores.py $(ARGS)

bench: $(VENV)/dev.stamp ## Measure speed, and write the results to the docs; ARGS="--quick" takes two minutes and only prints
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/dev.stamp ## Test random faults and crashes for SECONDS=60, from FIRST_SEED=1000
	SECONDS_TO_SOAK=$(or $(SECONDS),60) FIRST_SEED=$(or $(FIRST_SEED),1000) $(BIN)/python -m tests.properties.soak

mutants: $(VENV)/dev.stamp ## Break the program on purpose, and record which test fails; ARGS="lease" selects some
	$(BIN)/python -m tests.mutants $(ARGS)

lock: ## Resolve the locked versions again, all at once
	PYTHON=$(PYTHON) .ci/lock

setup: $(VENV)/dev.stamp ## Install what a developer needs, in .venv

clean: ## Delete what the targets created
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# pip installs the package itself without an index: the lock is the only list of dependencies.
$(VENV)/%.stamp: requirements/%.lock pyproject.toml
	PYTHON=$(PYTHON) .ci/install $(VENV) $*
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@$(BIN)/python -c 'import $(WARM)'
	@touch $@
