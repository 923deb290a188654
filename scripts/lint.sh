#!/usr/bin/env bash
# Checks formatting, lints, licences, scripts and deployment files. Runs all checks, then reports failed and skipped ones.
set -euo pipefail
cd "$(dirname "$0")/.."

# Highest allowed exposure of the systemd unit by systemd's measure: 0.0 is the strictest, 10.0 is no protection.
most_exposure=20

failed=""
skipped=""

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
    skipped+=" $tool;"
  fi
}

check_unit() {
  local unit=$work/broker-portal.service complaints
  # The program need not be installed here.
  sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' deploy/broker-portal.service > "$unit"
  complaints=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1) || true
  # Ignore messages about a machine without systemd or without the units in After=.
  complaints=$(grep -F broker-portal.service <<<"$complaints" || true)
  if [ -n "$complaints" ]; then
    echo "$complaints" >&2
    return 1
  fi
  systemd-analyze security --offline=true --threshold="$most_exposure" --no-pager "$unit" > "$work/exposure" || {
    cat "$work/exposure" >&2
    return 1
  }
  tail -n 1 "$work/exposure"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

scripts/setup.sh lint
# Only as a prebuilt release: building it takes longer than all checks.
if ! command -v cargo-deny >/dev/null 2>&1 && command -v cargo-binstall >/dev/null 2>&1; then
  cargo binstall --no-confirm cargo-deny || echo "==> cargo-deny could not be installed"
fi

check "rustfmt" cargo fmt --check
check_with leptosfmt leptosfmt --quiet --check src
check "clippy, server" cargo clippy --workspace --features ssr --all-targets -- -D warnings
check "clippy, browser" cargo clippy --lib --no-default-features --features hydrate \
  --target wasm32-unknown-unknown -- -D warnings
check_with cargo-deny cargo deny check
check_with shellcheck shellcheck scripts/*.sh .ci/run
check_with systemd-analyze check_unit
check_with hadolint hadolint deploy/Containerfile

if [ -n "$skipped" ]; then echo "==> skipped, not installed:$skipped"; fi
if [ -n "$failed" ]; then
  echo "==> failed:$failed" >&2
  exit 1
fi
echo "==> all checks passed"
