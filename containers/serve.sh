#!/bin/sh
# Starts one of the servers for the tests; what they keep is in /tmp and goes with the container.
set -eu
case $1 in
    postgres)
        echo postgres >/tmp/password
        initdb --pgdata /tmp/data --username postgres --pwfile /tmp/password --auth scram-sha-256 >/dev/null
        echo "host all all all scram-sha-256" >>/tmp/data/pg_hba.conf
        exec postgres -D /tmp/data -c listen_addresses="*" -c unix_socket_directories=/tmp
        ;;
    redis-server)
        exec redis-server --bind 0.0.0.0 --protected-mode no --save "" --dir /tmp
        ;;
    registry)
        printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /tmp/images}}\nhttp: {addr: ":5000"}\n' \
            >/tmp/registry.yml
        exec docker-registry serve /tmp/registry.yml
        ;;
    *)
        echo "serve: postgres, redis-server or registry" >&2
        exit 2
        ;;
esac
