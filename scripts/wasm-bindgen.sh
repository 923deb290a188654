#!/usr/bin/env bash
# Prints the path of the wasm-bindgen version in Cargo.lock: `wasm-bindgen.sh [--install]`. Tool and library share a private
# format, so they must match.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(awk '
  $0 == "name = \"wasm-bindgen\"" { found = 1; next }
  found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }
' Cargo.lock)

find_tool() {
  local candidate
  for candidate in "$PWD/.tools/bin/wasm-bindgen" "$(command -v wasm-bindgen || true)"; do
    if [ -x "$candidate" ] && [ "$("$candidate" --version)" = "wasm-bindgen $version" ]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

if find_tool; then exit 0; fi
if [ "${1:-}" != --install ]; then
  echo "wasm-bindgen $version was not found: run 'make setup'" >&2
  exit 1
fi

echo "==> installing wasm-bindgen $version into .tools" >&2
if ! command -v cargo-binstall >/dev/null 2>&1 ||
  ! cargo binstall --no-confirm --root .tools "wasm-bindgen-cli@$version" >&2; then
  # Unoptimised, because the longer build would take more time than it saves.
  cargo install wasm-bindgen-cli --version "=$version" --debug --root .tools >&2
fi
find_tool
