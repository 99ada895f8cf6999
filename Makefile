# `make demo` and `make test` do all the set-up they need by themselves.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PORT_OFFSET ?= 0
BASE ?= $(shell git rev-parse --quiet --verify origin/main >/dev/null 2>&1 && echo origin/main || echo HEAD~1)

VENV := .venv
BIN := $(VENV)/bin
CLI := $(BIN)/beta9-provisioning
STAMP := $(VENV)/.ready
SPEED := $(if $(TIME_SCALE),--time-scale $(TIME_SCALE))
# What is needed for what, one line one reason; pyproject.toml and simulator/pyproject.toml read the same files.
API_IN := requirements-api.in
WORKER_IN := requirements-worker.in
LOCAL_IN := requirements-local.in
SIMULATOR_IN := simulator/requirements.in
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11

# Terraform, Helm and kubectl that the set-up fetched; a Terraform of the user comes first.
export PATH := $(PATH):$(CURDIR)/.tools/bin

.PHONY: help setup demo test lint coverage up down bench run-api run-worker db-init dev-up dev-down lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and fetch the tools; a second run does nothing.

# Files of which the set-up makes something; the .in files are the dependencies of the two projects themselves.
SET_UP_FROM := scripts/setup.sh scripts/get_terraform.py requirements-uv.txt requirements-dev.txt requirements-tools.txt \
	pyproject.toml simulator/pyproject.toml $(API_IN) $(WORKER_IN) $(LOCAL_IN) $(SIMULATOR_IN)

$(STAMP): $(SET_UP_FROM)
	@scripts/setup.sh
	@touch $@

demo: $(STAMP) ## Create an environment in a simulated cloud, delete it, check that nothing is left.
	@$(CLI) local demo $(SPEED)

test: lint ## Run all checks and tests.
	@$(BIN)/pytest -n auto

lint: $(STAMP) ## Check style, types and imports.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

coverage: $(STAMP) ## Run all tests or TESTS; tell which lines changed since BASE (origin/main, else HEAD~1) they ran.
	@$(BIN)/python scripts/change_coverage.py "$(BASE)" $(TESTS)

up: $(STAMP) ## Start the local stack at http://localhost:8000 (PORT_OFFSET=100 makes it 8100).
	@$(CLI) local up --detach --port-offset $(PORT_OFFSET) $(SPEED)

down: $(STAMP) ## Stop the local stack.
	@$(CLI) local down

bench: $(STAMP) ## Run the benchmarks; prints a table and writes JSON.
	@$(BIN)/python -m benchmarks

run-api: $(STAMP) ## Run the API alone, with the settings of the environment and .env.
	@exec $(CLI) api

run-worker: $(STAMP) ## Run a worker alone, with the settings of the environment and .env.
	@exec $(CLI) worker

db-init: $(STAMP) ## Create or upgrade the tables in DATABASE_URL.
	@$(CLI) db init

dev-up: $(STAMP) ## Start PostgreSQL and Valkey alone, on ports 5432 and 6379 plus PORT_OFFSET.
	@$(CLI) local dev-up --port-offset $(PORT_OFFSET)

dev-down: $(STAMP) ## Stop them; the database stays for the next dev-up.
	@$(CLI) local dev-down

lock: $(STAMP) ## Compile the requirements*.txt files anew.
	$(COMPILE) requirements-uv.in -o requirements-uv.txt
	$(COMPILE) $(API_IN) $(WORKER_IN) -o requirements.txt
	$(COMPILE) -c requirements.txt $(API_IN) -o requirements-api.txt
	$(COMPILE) -c requirements.txt $(API_IN) $(WORKER_IN) $(LOCAL_IN) $(SIMULATOR_IN) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) -c requirements-dev.txt $(SIMULATOR_IN) -o simulator/requirements.txt
	$(COMPILE) --no-deps requirements-tools.in -o requirements-tools.txt
	$(COMPILE) --no-deps requirements-bench.in -o requirements-bench.txt

clean: ## Stop what runs and remove all that was generated, .venv and .tools included.
	@if [ -x $(CLI) ]; then $(CLI) local down; $(CLI) local dev-down --purge; fi
	rm -rf $(VENV) .tools .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/results
	rm -rf build simulator/build src/*.egg-info simulator/src/*.egg-info
	find src simulator tests api models scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
