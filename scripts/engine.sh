#!/bin/sh
# A Docker engine for the tests: its own daemon, images, cgroups and network namespace, below .tools/engine.
#
#   scripts/engine.sh start         start it (installing Debian's packages if need be), with a Python base image
#   scripts/engine.sh run COMMAND   run a command that reaches it, in its network: ports are published there
#   scripts/engine.sh stop          stop it and remove all of it; with KEEP_ENGINE=1 its images stay
#
# `start` ends with 3 where no engine can be had. The machine's own Docker is neither used nor touched.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
data=$root/.tools/engine
id=$(printf %s "$root" | cksum | cut -d' ' -f1)
name=b9-$id                   # of the network namespace and the cgroup
run=/run/beta9-engine-$id     # short, because a socket's path may have 107 characters
outside=b9o$((id % 1000000000)) inside=b9i$((id % 1000000000))
# One of the 16384 networks of four addresses in 100.64.0.0/16 (shared address space, RFC 6598).
net=100.64.$((id % 16384 / 64)).$((id % 64 * 4))
prefix=${net%.*} last=${net##*.}
gateway=$prefix.$((last + 1)) address=$prefix.$((last + 2))

without() {
    echo "There is no container engine: $*" >&2
    exit 3
}

require() {
    missing=
    for program in dockerd docker-compose mmdebstrap iptables ip; do
        [ -x "/usr/bin/$program" ] || [ -x "/usr/sbin/$program" ] || missing="$missing $program"
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || without "these are missing, and there is no apt-get:$missing."
    echo "Installing Debian's docker.io, docker-compose and mmdebstrap" >&2
    # A service that the package starts would be an engine of the machine; RUNLEVEL=1 leaves it off. Another Docker
    # that is here must not go for ours: --no-remove.
    { apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes \
        --no-remove --no-install-recommends docker.io docker-compose mmdebstrap iptables iproute2; } >"$data/apt.log" 2>&1 ||
        without "apt-get could not install$missing; see $data/apt.log."
}

lead_out() {
    iptables -w -t nat -A POSTROUTING -s "$net/30" -j MASQUERADE
    iptables -w -I FORWARD -i "$outside" -j ACCEPT # before what another engine refuses
    iptables -w -I FORWARD -o "$outside" -j ACCEPT
}

lead_out_no_more() {
    iptables -w -t nat -D POSTROUTING -s "$net/30" -j MASQUERADE
    iptables -w -D FORWARD -i "$outside" -j ACCEPT
    iptables -w -D FORWARD -o "$outside" -j ACCEPT
}

start_network() {
    ip netns add "$name"
    ip link add "$outside" type veth peer name "$inside" netns "$name"
    ip address add "$gateway/30" dev "$outside"
    ip link set "$outside" up
    ip -n "$name" address add "$address/30" dev "$inside"
    ip -n "$name" link set "$inside" up
    ip -n "$name" link set lo up
    ip -n "$name" route add default via "$gateway"
    if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]; then
        touch "$run/forward"
        echo 1 >/proc/sys/net/ipv4/ip_forward
    fi
    lead_out
}

within() {
    ${exec:-} env PATH="$run/bin:$PATH" DOCKER_HOST="unix://$run/docker.sock" DOCKER_CONFIG="$run/config" DOCKER_BUILDKIT=1 \
        COMPOSE_DOCKER_CLI_BUILD=1 nsenter --net="/run/netns/$name" "$@"
}

start_daemon() { # storage driver
    nsenter --net="/run/netns/$name" dockerd --data-root "$data/data" --exec-root "$run/exec" --pidfile "$run/pid" \
        --host "unix://$run/docker.sock" --cgroup-parent "/$name" --storage-driver "$1" >"$data/log" 2>&1 9>&- &
    daemon=$!
    # 0.6 s on a quiet machine; ends early when the daemon does.
    for _ in $(seq 300); do
        within docker version >/dev/null 2>&1 && return
        kill -0 "$daemon" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

# The official image where it can be had, otherwise Debian's Python under the same name, marked as a stand-in.
base() {
    image=$(sed -n 's/^ARG PYTHON_IMAGE=//p' Dockerfile.api)
    within docker image inspect "$image" >/dev/null 2>&1 && return
    within docker pull --quiet "$image" 2>/dev/null && return
    suite=${image##*-}
    archive=$root/.tools/base-$suite.tar
    if [ ! -f "$archive" ]; then
        echo "$image cannot be pulled; making a stand-in of Debian $suite" >&2
        mmdebstrap --quiet --format=tar --variant=minbase --include=python3-venv,ca-certificates --dpkgopt=force-unsafe-io \
            "$suite" "$archive.part"
        mv "$archive.part" "$archive"
    fi
    within docker import --change 'ENV LANG=C.UTF-8' "$archive" debian-for-tests >/dev/null
    mkdir -p "$run/base"
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$run/base/"
    within docker build --quiet --file containers/Dockerfile.base --build-arg DEBIAN_IMAGE=debian-for-tests \
        --tag "$image" "$run/base" >/dev/null
}

start() {
    [ "$(id -u)" = 0 ] || without "starting one needs root."
    mkdir -p "$data"
    require
    stop # what a run that was killed has left
    mkdir -p "$data" "$run/bin" "$run/config"
    ln -s /usr/bin/docker /usr/bin/docker-compose "$run/bin/"
    trap stop EXIT
    start_network || without "a network namespace could not be made."
    start_daemon overlay2 || start_daemon vfs || {
        tail -n 5 "$data/log" >&2
        without "dockerd did not start."
    }
    base
    trap - EXIT
}

# Processes of the engine, and those of its containers.
ours() {
    [ ! -e "/run/netns/$name" ] || ip netns pids "$name"
    find /sys/fs/cgroup -path "*/$name/*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

stop() {
    if [ -f "$run/pid" ] && pid=$(cat "$run/pid") && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        kill "$pid"
        # It stops its containers first, and gives each 10 s.
        for _ in $(seq 300); do [ -d "/proc/$pid" ] || break; sleep 0.2; done
    fi
    # What a daemon that was killed has left, containers included.
    for _ in $(seq 50); do
        left=$(ours)
        [ -n "$left" ] || break
        echo "$left" | xargs kill -9 2>/dev/null || true
        sleep 0.2
    done
    awk -v run="$run/" -v data="$data/" 'index($2, run) == 1 || index($2, data) == 1 { print $2 }' /proc/mounts |
        sort -r | xargs --no-run-if-empty umount --lazy
    if [ -e "/run/netns/$name" ]; then
        lead_out_no_more 2>/dev/null || true
        ip netns delete "$name"
        ip link delete "$outside" 2>/dev/null || true # the kernel does so, too, a little later
        if [ -f "$run/forward" ] && ! pgrep -x dockerd >/dev/null; then
            echo 0 >/proc/sys/net/ipv4/ip_forward
        fi
    fi
    find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} + 2>/dev/null || true
    rm -rf "$run"
    [ -n "${KEEP_ENGINE:-}" ] || rm -rf "$data"
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
    start) start ;;
    stop) stop ;;
    run) exec="exec" within "$@" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
