#!/usr/bin/env bash
# Prints the version of a crate in Cargo.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(awk -v name="name = \"$1\"" '
  $0 == name { found = 1; next }
  found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }
' Cargo.lock)

if [ -z "$version" ]; then
  echo "Cargo.lock has no crate named $1" >&2
  exit 1
fi
echo "$version"
