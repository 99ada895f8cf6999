#!/bin/sh
# Build beta9-provisioning-api:latest and beta9-provisioning-worker:latest: `make docker-build`.
# PYTHON_IMAGE, TERRAFORM_IMAGE, HELM_IMAGE, KUBECTL_IMAGE, PROVIDERS_IMAGE, CHARTS_IMAGE and PG_MAJOR are
# passed on, PIP_CONF names a pip.conf for the build. Without an image of its own a part of the worker is what scripts/vendor.py has put there.
set -eu
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=1
python=${PYTHON_IMAGE:-python:3.12-slim-bookworm}
parts=.tools/vendor/parts

stop() {
    echo "docker-build: $*" >&2
    exit 1
}

is_stand_in() {
    [ "$(docker image inspect --format '{{index .Config.Labels "stand-in"}}' "$1" 2>/dev/null)" = true ]
}

docker version >/dev/null 2>&1 || stop "\`docker version\` reaches no engine. Start one, or name it: DOCKER_HOST."
docker image inspect "$python" >/dev/null 2>&1 || docker pull --quiet "$python" ||
    stop "the base image $python is not here and cannot be pulled. Name another one: make docker-build PYTHON_IMAGE=…"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git describe --always --abbrev=40 --dirty 2>/dev/null || echo unknown)
set -- --build-arg "PYTHON_IMAGE=$python" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"

# A package index of one's own, and the password to it, are for the build alone.
[ -z "${PIP_CONF:-}" ] || set -- "$@" --secret "id=pip,src=$PIP_CONF"

docker build "$@" --build-arg "PG_MAJOR=${PG_MAJOR:-}" --file Dockerfile.api --tag beta9-provisioning-api:latest .

stand_in=false
for part in terraform helm kubectl providers charts; do
    name=$(echo "${part}_IMAGE" | tr '[:lower:]' '[:upper:]')
    eval "given=\${$name:-}"
    if [ -z "$given" ]; then
        given=beta9-provisioning-vendor:$part
        grep --quiet '^stand-in' $parts/$part/*/about && mark=true || mark=false
        docker build --quiet --file containers/Dockerfile.vendor --target "$part" --label "stand-in=$mark" \
            --tag "$given" "$parts" >/dev/null
    fi
    is_stand_in "$given" && stand_in=true
    set -- "$@" --build-arg "$name=$given"
done
# The base's own label comes down to the image by itself.
[ "$stand_in" = false ] || set -- "$@" --label stand-in=true
docker build "$@" --file Dockerfile.worker --tag beta9-provisioning-worker:latest .

for image in api worker; do
    if is_stand_in beta9-provisioning-$image:latest; then
        echo "docker-build: beta9-provisioning-$image:latest holds stand-ins, so it is for trying out only, and" \
            "\`make docker-push\` refuses it."
    fi
done
