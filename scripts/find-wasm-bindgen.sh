#!/usr/bin/env bash
# Prints the path of the wasm-bindgen version in Cargo.lock. Tool and library share a private format, so they must match.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(scripts/locked-version.sh wasm-bindgen)

for candidate in "$PWD/.tools/bin/wasm-bindgen" "$(command -v wasm-bindgen || true)"; do
  if [ -x "$candidate" ] && [ "$("$candidate" --version)" = "wasm-bindgen $version" ]; then
    echo "$candidate"
    exit 0
  fi
done

echo "wasm-bindgen $version was not found: run 'make setup'" >&2
exit 1
