#!/bin/sh
# Make a cluster on the first start, with the user, the password and the database of the environment; then run the server as PID 1.
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi
    : "${POSTGRES_PASSWORD:?set it, or POSTGRES_PASSWORD_FILE}"
    secret=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
    initdb --username="$user" --pwfile="$secret" --auth-host=scram-sha-256 --encoding=UTF8 --no-locale >/dev/null
    rm "$secret"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses=''" >/dev/null
    if [ "$database" != postgres ]; then createdb --username="$user" "$database"; fi
    for file in /docker-entrypoint-initdb.d/*.sql; do
        if [ -f "$file" ]; then psql -v ON_ERROR_STOP=1 --username="$user" --dbname="$database" -f "$file"; fi
    done
    pg_ctl -w -m fast stop >/dev/null
fi
echo "PostgreSQL init process complete; ready for start up."
exec "$@" -c listen_addresses='*'
