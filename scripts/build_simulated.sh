#!/bin/sh
# Build beta9-provisioning-simulator:latest, and beta9-provisioning-worker-simulated:latest from the production worker:
# `make docker-build-simulated`. PYTHON_IMAGE has to be the worker's.
set -eu
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=1
python=${PYTHON_IMAGE:-python:3.12-slim-bookworm}

for target in simulator worker-simulated; do
    docker build --build-arg "PYTHON_IMAGE=$python" --file Dockerfile.simulator --target "$target" \
        --tag "beta9-provisioning-$target:latest" .
done
