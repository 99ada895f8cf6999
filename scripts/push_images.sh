#!/bin/sh
# Tag both images for a registry and push them: `make docker-push VERSION=v0.1.0 DOCKER_REGISTRY=…`.
set -eu

stop() {
    echo "docker-push: $*" >&2
    exit 1
}

[ -n "${DOCKER_REGISTRY:-}" ] || stop "DOCKER_REGISTRY is not set: make docker-push VERSION=v0.1.0 DOCKER_REGISTRY=registry.example.com/beta9"
[ -n "${VERSION:-}" ] || stop "VERSION is not set: make docker-push VERSION=v0.1.0 DOCKER_REGISTRY=$DOCKER_REGISTRY"

# All is looked at before anything is pushed.
for image in api worker; do
    local=beta9-provisioning-$image:latest
    mark=$(docker image inspect --format '{{index .Config.Labels "stand-in"}}' "$local") ||
        stop "there is no image $local. Build it: make docker-build"
    [ "$mark" != true ] || stop "$local holds stand-ins (label stand-in=true). docs/images.md says how to replace them."
done
# Whoever builds without `make docker-build` sets no label; the parts say what they are themselves.
container=$(docker create beta9-provisioning-worker:latest true)
about=$(docker cp "$container:/opt/beta9/about/." - | tar --extract --to-stdout) || about=stand-in
docker rm --volumes "$container" >/dev/null
case $about in
    *stand-in*) stop "beta9-provisioning-worker:latest holds stand-ins: $about" ;;
esac

for image in api worker; do
    docker tag "beta9-provisioning-$image:latest" "$DOCKER_REGISTRY/provisioning-$image:$VERSION"
    docker push "$DOCKER_REGISTRY/provisioning-$image:$VERSION"
done
