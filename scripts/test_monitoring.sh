#!/bin/sh
# Run what needs Debian's Prometheus and Alertmanager: `make test-monitoring`. The arguments are pytest's.
# Where they cannot be had, the tests are skipped, and counted.
set -eu
cd "$(dirname "$0")/.."
if ! command -v promtool >/dev/null || ! command -v prometheus-alertmanager >/dev/null; then
    mkdir -p .tools
    echo "Installing Debian's prometheus and prometheus-alertmanager" >&2
    # RUNLEVEL=1 leaves their services off.
    { apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-remove \
        --no-install-recommends prometheus prometheus-alertmanager; } >.tools/apt-monitoring.log 2>&1 ||
        echo "test-monitoring: apt-get could not install them (.tools/apt-monitoring.log): tests are skipped." >&2
fi
exec .venv/bin/pytest --timeout 900 -rs "${@:-tests/monitoring}"
