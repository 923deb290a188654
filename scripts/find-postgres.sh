#!/usr/bin/env bash
# Prints the folder with the Postgres server programs, version 15 or newer. Debian and Homebrew do not add it to PATH.
set -euo pipefail

oldest=15
shopt -s nullglob

on_path=$(command -v pg_ctl || true)
elsewhere=$(printf '%s\n' \
  /usr/lib/postgresql/*/bin \
  /usr/pgsql-*/bin \
  /opt/homebrew/opt/postgresql@*/bin \
  /usr/local/opt/postgresql@*/bin | sort -rV)

for folder in ${on_path:+"$(dirname "$on_path")"} $elsewhere; do
  if [ ! -x "$folder/postgres" ] || [ ! -x "$folder/initdb" ]; then continue; fi
  major=$("$folder/postgres" --version | sed -n 's/.*PostgreSQL) \([0-9]*\).*/\1/p')
  if [ "${major:-0}" -ge "$oldest" ]; then
    echo "$folder"
    exit 0
  fi
done

echo "Postgres $oldest or newer was not found: run 'make setup'" >&2
exit 1
