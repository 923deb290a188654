#!/usr/bin/env bash
# Checks the systemd unit and the Containerfile with the installed tools.
set -euo pipefail
cd "$(dirname "$0")/.."

# Highest allowed exposure by systemd's measure: 0.0 is the strictest, 10.0 is no protection.
most_exposure=20

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if command -v systemd-analyze >/dev/null 2>&1; then
  echo "==> systemd-analyze"
  # The program need not be installed here.
  unit=$work/broker-portal.service
  sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' deploy/broker-portal.service > "$unit"
  complaints=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1) || true
  # Ignore messages about a machine without systemd or without the units in After=.
  complaints=$(grep -F broker-portal.service <<<"$complaints" || true)
  if [ -n "$complaints" ]; then
    echo "$complaints" >&2
    exit 1
  fi
  systemd-analyze security --offline=true --threshold="$most_exposure" --no-pager "$unit" > "$work/exposure" || {
    cat "$work/exposure" >&2
    exit 1
  }
  tail -n 1 "$work/exposure"
else
  echo "==> systemd-analyze: not installed, skipped"
fi

if command -v hadolint >/dev/null 2>&1; then
  echo "==> hadolint"
  hadolint deploy/Containerfile
else
  echo "==> hadolint: not installed, skipped"
fi
