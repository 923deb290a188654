#!/usr/bin/env bash
# Prints the path of promtool, which checks Prometheus rules: `promtool.sh [--install]`.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }

find_tool() {
  command -v promtool || { [ -x .tools/bin/promtool ] && echo "$PWD/.tools/bin/promtool"; }
}

if find_tool; then exit 0; fi
if [ "${1:-}" != --install ]; then
  echo "promtool was not found: scripts/promtool.sh --install fetches it" >&2
  exit 1
fi

if have apt-get && have dpkg-deb; then
  echo "==> extracting promtool from Debian's prometheus package" >&2
  # Installing the package would start a Prometheus.
  package=$(mktemp -d)
  trap 'rm -rf "$package"' EXIT
  # apt writes into it as its own user.
  chmod 755 "$package"
  (cd "$package" && apt-get download -qq prometheus >/dev/null 2>&1) || {
    echo "promtool: apt has no package prometheus (is 'apt-get update' long ago?)" >&2
    exit 1
  }
  dpkg-deb --fsys-tarfile "$package"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$package/promtool"
  chmod 755 "$package/promtool"
  "$package/promtool" --version >/dev/null 2>&1 || {
    echo "promtool: Debian's does not run here" >&2
    exit 1
  }
  mkdir -p .tools/bin
  mv "$package/promtool" .tools/bin/promtool
elif have brew; then
  echo "==> installing prometheus with Homebrew, for promtool; no service is started" >&2
  brew install --quiet prometheus >&2
else
  echo "promtool: neither apt nor Homebrew is here to fetch it" >&2
  exit 1
fi
find_tool
