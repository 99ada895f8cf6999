#!/bin/sh
# Run what needs a container engine: `make test-containers`. The arguments are pytest's.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .tools
exec 9>.tools/engine.lock
flock 9 # one at a time in a checkout
code=0
trap 'scripts/engine.sh stop' EXIT
scripts/engine.sh start 9>&- || code=$?
if [ "$code" = 3 ]; then
    echo "test-containers: the tests in tests/containers were NOT run." >&2
    exit 0
fi
[ "$code" = 0 ] || exit "$code"
# In the background, so that this shell hears at once that it is to end, and removes the engine.
scripts/engine.sh run .venv/bin/pytest --timeout 900 "${@:-tests/containers}" 9>&- &
trap 'kill $!; wait; exit 130' INT
trap 'kill $!; wait; exit 143' TERM
wait $!
