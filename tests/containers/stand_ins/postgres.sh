#!/bin/sh
# What the official image's start does for docker-compose.yaml: make the database once, then serve.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?has to be set}"
    password=$(mktemp)
    echo "$POSTGRES_PASSWORD" >"$password"
    initdb --username=postgres --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    rm "$password"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # The server of this moment listens on its socket only.
    pg_ctl --wait --options="-c listen_addresses=" start >/dev/null
    createdb --username=postgres "${POSTGRES_DB:-postgres}"
    pg_ctl --wait --mode=fast stop >/dev/null
fi
exec "$@" -c listen_addresses='*'
