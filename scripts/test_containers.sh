#!/bin/sh
# Run what needs Debian's packages or a container engine: `make test-containers`. The arguments are pytest's, which then
# runs in the engine alone.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .tools

# Prometheus and Alertmanager need no engine. Where they cannot be had, their tests are skipped, and counted.
monitor() {
    if ! command -v promtool >/dev/null || ! command -v prometheus-alertmanager >/dev/null; then
        echo "Installing Debian's prometheus and prometheus-alertmanager" >&2
        # RUNLEVEL=1 leaves their services off.
        { apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-remove \
            --no-install-recommends prometheus prometheus-alertmanager; } >.tools/apt-monitoring.log 2>&1 ||
            echo "test-containers: apt-get could not install them (.tools/apt-monitoring.log): the tests in" \
                "tests/monitoring are skipped." >&2
    fi
    .venv/bin/pytest --timeout 900 -rs tests/monitoring 9>&-
}

exec 9>.tools/engine.lock
flock 9 # one at a time in a checkout
watched=0
[ $# -gt 0 ] || monitor || watched=$?
code=0
trap 'scripts/engine.sh stop' EXIT
scripts/engine.sh start 9>&- || code=$?
if [ "$code" = 3 ]; then
    echo "test-containers: the tests in tests/containers were NOT run." >&2
    exit "$watched"
fi
[ "$code" = 0 ] || exit "$code"
# In the background, so that this shell hears at once that it is to end, and removes the engine.
scripts/engine.sh run .venv/bin/pytest --timeout 900 "${@:-tests/containers}" 9>&- &
trap 'kill $!; wait; exit 130' INT
trap 'kill $!; wait; exit 143' TERM
wait $! || code=$?
[ "$code" = 0 ] && exit "$watched"
exit "$code"
