#!/bin/sh
# Set the checkout up: virtual environment from the lock files, then Helm, kubectl and Terraform.
# `make setup` calls it. Nothing outside the checkout is written, but for the caches of pip and uv.
set -eu
cd "$(dirname "$0")/.."

stop() {
    echo "setup: $*" >&2
    exit 1
}

new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.13; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_python) || stop "Python 3.11 or newer is needed, and there is none on PATH. On Debian 12 or Ubuntu
24.04: apt-get install python3 python3-venv. Elsewhere see https://www.python.org/downloads/. If it has another
name, say so: make setup PYTHON=/path/to/python3.11"

new_enough .venv/bin/python || rm -rf .venv
if [ ! -x .venv/bin/pip ]; then
    echo "Creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || {
        rm -rf .venv
        stop "$python could not create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"
    }
fi

echo "Installing Python packages from requirements-dev.txt"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt ||
    stop "pip could not install uv. Is the Python package index reachable from here?"
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements-dev.txt ||
    stop "uv could not install the packages. Is the Python package index reachable from here?"
# Built by the setuptools of requirements-dev.txt, whose hash was checked, and not by one that is fetched for it.
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation \
    --editable . --editable ./simulator ||
    stop "uv could not install this project into .venv"

# Terraform from PATH if it is new enough, otherwise from .tools/bin.
PATH=$PATH:$PWD/.tools/bin
export PATH
if ! .venv/bin/python -c 'from beta9_provisioning.local.tools import find_terraform; find_terraform()' 2>/dev/null
then
    echo "There is no Terraform 1.11 or OpenTofu 1.11 or newer on PATH"
    .venv/bin/python scripts/get_terraform.py || stop "without Terraform nothing can be tried or tested"
fi
echo "Fetching Helm and kubectl unless they are there"
.venv/bin/python -m beta9_provisioning.local.tools >/dev/null
