#!/bin/sh
# Puts PostgreSQL's clients, and the libraries that the base image lacks, under /clients.
# PG_MAJOR is the server's major version; empty takes the newest of the base's distribution.
set -eu

find -L /lib /usr/lib -name '*.so*' | sort >/tmp/before
apt-get update --quiet=2
if [ -n "${PG_MAJOR:-}" ] && ! apt-cache show "postgresql-client-$PG_MAJOR" >/dev/null 2>&1; then
    # PostgreSQL's own repository; Debian ships its key.
    apt-get install --quiet=2 --yes --no-install-recommends postgresql-common
    /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
fi
apt-get install --quiet=2 --yes --no-install-recommends "postgresql-client${PG_MAJOR:+-$PG_MAJOR}"

mkdir -p /clients/usr/local/bin /clients/var/lib/dpkg/status.d
for name in psql pg_dump pg_restore; do
    program=$(find /usr/lib/postgresql/*/bin -name "$name")
    cp "$program" /clients/usr/local/bin/
    ldd "$program" | awk '$2 == "=>" { print $3 }'
done | sort -u | comm -23 - /tmp/before >/tmp/libraries
while read -r library; do
    file=$(realpath "$library") # /lib is a link to /usr/lib
    folder=/clients$(dirname "$file")
    mkdir -p "$folder"
    cp "$file" "$folder/$(basename "$library")"
    # So that scanners know what was copied: they read this folder beside dpkg's own status.
    package=$(dpkg-query --search "*/$(basename "$file")" | head -n 1 | cut -d: -f1)
    dpkg-query --status "$package" >"/clients/var/lib/dpkg/status.d/$package"
done </tmp/libraries
