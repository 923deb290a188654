#!/usr/bin/env bash
# Runs cargo-mutants on the pure code in crates/domain: `scripts/mutants.sh [FILE...]`, by default on all of it.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
  echo "mutants: cargo-mutants is missing; cargo install cargo-mutants --locked" >&2
  exit 1
fi

files=()
for file in "$@"; do files+=(--file "$file"); done
exec cargo mutants --package domain --features server --output "${CARGO_TARGET_DIR:-target}/mutants" --jobs 1 "${files[@]}"
