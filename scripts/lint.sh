#!/usr/bin/env bash
# Checks formatting, lints and licences. Runs all checks and reports every failure.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=""

check() {
  local name=$1
  shift
  echo "==> $name"
  "$@" || failed+=" $name;"
}

# check_with TOOL COMMAND...: skips the check if the tool is not installed.
check_with() {
  local tool=$1
  shift
  if command -v "$tool" >/dev/null 2>&1; then
    check "$tool" "$@"
  else
    echo "==> $tool: not installed, skipped"
  fi
}

check "rustfmt" cargo fmt --check
check_with leptosfmt leptosfmt --quiet --check src
check "clippy, server" cargo clippy --workspace --features ssr --all-targets -- -D warnings
check "clippy, browser" cargo clippy --lib --no-default-features --features hydrate \
  --target wasm32-unknown-unknown -- -D warnings
check_with cargo-deny cargo deny check
check_with shellcheck shellcheck scripts/*.sh .ci/run
check "deployment" scripts/lint-deploy.sh

if [ -n "$failed" ]; then
  echo "==> failed:$failed" >&2
  exit 1
fi
echo "==> all checks passed"
