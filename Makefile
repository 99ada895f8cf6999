# `make demo` and `make test` do all the set-up they need by themselves.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PORT_OFFSET ?= 0
CASES ?= 1000
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
# Tests and the local stack start hundreds of processes: each would compile anew all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-long test-examples fuzz simulate lint crash-matrix mutants coverage up down bench run-api run-worker db-init dev-up dev-down lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and fetch the tools; a second run does nothing.

# Files of which the set-up makes something; the .in files are the dependencies of the two projects themselves.
SET_UP_FROM := scripts/setup.sh scripts/get_terraform.py requirements-uv.txt requirements-dev.txt requirements-tools.txt \
	pyproject.toml simulator/pyproject.toml $(API_IN) $(WORKER_IN) $(LOCAL_IN) $(SIMULATOR_IN)

$(STAMP): $(SET_UP_FROM)
	@scripts/setup.sh
	@touch $@

demo: $(STAMP) ## Create an environment in a simulated cloud, delete it, check that nothing is left.
	@$(CLI) local demo $(SPEED)

test: lint ## Run all checks, and all tests but those of test-long, test-examples and test-containers.
	@$(BIN)/pytest -n auto --dist worksteal

test-long: $(STAMP) ## Run what takes long: updates, crashes, histories in made-up time, adoption, destroys, recipes of docs/operations.md.
	@$(BIN)/pytest -n auto --dist worksteal --long

test-examples: $(STAMP) ## Run what customers and operators type, with the AWS CLI, against the simulated cloud.
	@$(BIN)/pytest tests/examples

fuzz: $(STAMP) ## Make CASES requests, good and bad, of each operation of the API; SEED repeats a run.
	@seed="$(or $(SEED),$$(date +%s))"; echo "SEED=$$seed"; \
	$(BIN)/pytest -n auto tests/api/test_openapi.py --cases $(CASES) --hypothesis-seed "$$seed" --timeout 0

simulate: $(STAMP) ## Simulate the control plane for SECONDS (60) in made-up time; SEED repeats one history.
	@$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seconds $(or $(SECONDS),60)) $(if $(SMALL),--small) $(if $(KINDS),--kinds $(KINDS))

lint: $(STAMP) ## Check style, types and imports.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

crash-matrix: $(STAMP) ## Kill every part at every moment: N cases of SEED, LANES at a time, or CASE alone; goes on with RESULTS.
	@$(BIN)/python -m tests.acceptance.crash_matrix --count $(or $(N),200) --seed $(or $(SEED),1) --lanes $(or $(LANES),3) \
		$(if $(CASE),--case '$(CASE)') $(if $(RESULTS),--results '$(RESULTS)')

mutants: $(STAMP) ## Break recovery one piece at a time, and see that simulation, matrix or a test notices.
	@$(BIN)/python -m tests.mutants $(MUTANTS)

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

# Kubernetes.
.PHONY: manifests check-manifests dashboards check-stacks check-support

dashboards: $(STAMP) ## Write dashboards/*.json, the dashboards of Grafana, from scripts/dashboards.
	@$(BIN)/python -m scripts.dashboards

manifests: $(STAMP) ## Write manifests/*.yaml; with VERSION and DOCKER_REGISTRY only the second track, with that image.
	@$(BIN)/python scripts/render_manifests.py --version "$(VERSION)" --registry "$(DOCKER_REGISTRY)"

check-manifests: $(STAMP) ## Look for risky settings in the manifests with checkov, in a virtual environment of its own.
	@$(BIN)/python -m scripts.check_manifests

check-stacks: $(STAMP) ## Look for risky settings in the stacks of examples/ with checkov, in the same one.
	@$(BIN)/python -m scripts.check_stacks

check-support: $(STAMP) ## Fail 60 days before a version that new environments get leaves its standard support.
	@$(BIN)/python -m scripts.check_support

lock: $(STAMP) ## Compile the requirements*.txt files anew.
	$(COMPILE) requirements-uv.in -o requirements-uv.txt
	$(COMPILE) $(API_IN) $(WORKER_IN) -o requirements.txt
	$(COMPILE) -c requirements.txt $(API_IN) -o requirements-api.txt
	$(COMPILE) -c requirements.txt $(API_IN) $(WORKER_IN) $(LOCAL_IN) $(SIMULATOR_IN) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) -c requirements-dev.txt $(SIMULATOR_IN) -o simulator/requirements.txt
	$(COMPILE) -c requirements-dev.txt containers/requirements-build.in -o containers/requirements-build.txt
	$(COMPILE) containers/requirements-awscli.in -o containers/requirements-awscli.txt
	$(COMPILE) requirements-supply.in -o requirements-supply.txt
	$(COMPILE) --no-deps requirements-tools.in -o requirements-tools.txt
	$(COMPILE) --no-deps requirements-bench.in -o requirements-bench.txt
	$(COMPILE) requirements-checkov.in -o requirements-checkov.txt

# Images, and what is told of them. docs/images.md.
.PHONY: docker-build docker-push vendor sbom licences audit lint-containers test-containers test-monitoring
SUPPLY := .tools/supply
SUPPLY_STAMP := $(SUPPLY)/.ready
IMAGE_REQUIREMENTS := requirements-api.txt requirements.txt containers/requirements-awscli.txt
TERRAFORM ?= terraform
# What `make test-containers` runs besides: targets that need no engine.
CONTAINER_CHECKS := lint-containers check-manifests check-stacks check-support test-monitoring

docker-build: $(STAMP) ## Build both images, with marked stand-ins for what cannot be fetched.
	@$(BIN)/python -m scripts.vendor --terraform $(TERRAFORM) --stand-ins
	@scripts/build_images.sh

docker-push: ## Push both images: VERSION=v0.1.0 DOCKER_REGISTRY=registry.example.com/beta9; refuses stand-ins.
	@VERSION="$(VERSION)" DOCKER_REGISTRY="$(DOCKER_REGISTRY)" scripts/push_images.sh

vendor: $(STAMP) ## Fetch Terraform, Helm, kubectl, providers and charts for the worker's image, as pinned.
	@$(BIN)/python -m scripts.vendor --terraform $(TERRAFORM)

$(SUPPLY_STAMP): requirements-supply.txt | $(STAMP)
	@$(BIN)/uv venv --quiet --clear $(SUPPLY)
	@$(BIN)/uv pip install --quiet --python $(SUPPLY)/bin/python --require-hashes -r requirements-supply.txt
	@touch $@

sbom: $(SUPPLY_STAMP) ## Write bills of materials of the images and the wheel into dist/sbom.
	@$(BIN)/python -m scripts.sbom $(SUPPLY)/bin/cyclonedx-py dist/sbom $(TERRAFORM)

licences: $(SUPPLY_STAMP) ## Write the licences of all Python packages of the images into dist/licences.md.
	@$(BIN)/python -m scripts.licences $(SUPPLY)/bin/pip-licenses dist/licences.md $(TERRAFORM)

audit: $(SUPPLY_STAMP) ## Look for known vulnerabilities in the images' Python packages; fails unless all were looked at.
	@$(BIN)/python -m scripts.audit $(SUPPLY)/bin/pip-audit $(IMAGE_REQUIREMENTS)

lint-containers: $(SUPPLY_STAMP) ## Check Dockerfiles and shell scripts.
	@$(SUPPLY)/bin/hadolint Dockerfile.* containers/Dockerfile.*
	@$(SUPPLY)/bin/shellcheck scripts/*.sh containers/*.sh .ci/run

test-monitoring: $(STAMP) ## Run rules, alerts and dashboards in Debian's Prometheus and Alertmanager, which it installs.
	@scripts/test_monitoring.sh

test-containers: $(STAMP) $(SUPPLY_STAMP) $(CONTAINER_CHECKS) ## Build and run the images in a container engine of its own.
	@scripts/test_containers.sh

# The simulated cloud in containers. docs/compose.md.
.PHONY: docker-build-simulated
docker-build-simulated: docker-build ## Build the simulated cloud and the worker for it, too: docs/compose.md.
	@scripts/build_simulated.sh

clean: ## Stop what runs and remove all that was generated, .venv and .tools included.
	@if [ -x $(CLI) ]; then $(CLI) local down; $(CLI) local dev-down --purge; fi
	@scripts/engine.sh stop
	rm -rf $(VENV) .tools .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/results
	rm -rf build simulator/build src/*.egg-info simulator/src/*.egg-info dist/sbom dist/licences.md
	find src simulator tests api models scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
