#!/usr/bin/env bash
# Refreshes .sqlx: checks every query against a database made from the migrations and records the result, so that ordinary
# builds need no database.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
fresh=$root/.sqlx.new
postgres=$(scripts/find-postgres.sh)
psql=$postgres/psql
if [ ! -x "$psql" ]; then psql=psql; fi

# In /tmp, because the path of TMPDIR may be too long for a socket.
cluster=$(mktemp -d /tmp/portal-queries.XXXXXX)

# Postgres refuses to run as root.
owner=""
if [ "$(id -u)" = 0 ]; then
  owner=nobody
  if id postgres >/dev/null 2>&1; then owner=postgres; fi
  chown "$owner" "$cluster"
fi

as_owner() {
  if [ -n "$owner" ]; then
    # Change the folder, because the owner may have no access to the current one.
    (cd "$cluster" && exec su -s /bin/sh "$owner" -c 'exec "$@"' -- sh "$@")
  else
    "$@"
  fi
}

clean_up() {
  trap '' INT TERM
  as_owner "$postgres/pg_ctl" -D "$cluster/data" -m immediate -s stop 2>/dev/null || true
  rm -rf "$cluster" "$fresh"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "==> queries: starting a temporary Postgres"
as_owner "$postgres/initdb" -D "$cluster/data" -U portal -A trust -E UTF8 --no-locale --no-sync >/dev/null
as_owner "$postgres/pg_ctl" -D "$cluster/data" -l "$cluster/log" -w -s \
  -o "-k $cluster -c listen_addresses= -c fsync=off" start || {
  cat "$cluster/log" >&2
  exit 1
}

echo "==> queries: applying the migrations"
export PGHOST=$cluster PGUSER=portal PGDATABASE=postgres
for migration in migrations/*.sql; do
  together=--single-transaction
  if head -n 1 "$migration" | grep -q '^-- *no-transaction'; then together=""; fi
  "$psql" -X -q -v ON_ERROR_STOP=1 ${together:+"$together"} -f "$migration"
done

echo "==> queries: checking each query"
rm -rf "$fresh"
mkdir "$fresh"
# The compiler does not know that the result depends on the database. Touch a file to make it check again.
touch src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$fresh \
  DATABASE_URL="postgres://portal@localhost/postgres?host=$cluster" \
  cargo check --features ssr --all-targets

count=$(find "$fresh" -name 'query-*.json' | wc -l | tr -d ' ')
if [ "$count" = 0 ]; then
  echo "queries: no query was recorded, .sqlx is unchanged" >&2
  exit 1
fi

# Replace the records last, so that a failed check leaves the old ones.
rm -rf .sqlx
mv "$fresh" .sqlx
echo "==> queries: $count in .sqlx"
