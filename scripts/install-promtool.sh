#!/usr/bin/env bash
# Fetches promtool, which checks Prometheus rules, into .tools/bin. Out of Debian's package (19 MB), without installing it:
# that would start a Prometheus.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "==> $*"; }
die() {
  echo "setup: $*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

if have apt-get && have dpkg-deb; then
  say "fetching promtool out of Debian's prometheus"
  package=$(mktemp -d)
  trap 'rm -rf "$package"' EXIT
  # apt's own user writes into it.
  chmod 755 "$package"
  (cd "$package" && apt-get download -qq prometheus >/dev/null 2>&1) \
    || die "apt has no package prometheus (is 'apt-get update' long ago?)"
  mkdir -p .tools/bin
  dpkg-deb --fsys-tarfile "$package"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$package/promtool"
  chmod 755 "$package/promtool"
  "$package/promtool" --version >/dev/null 2>&1 || die "Debian's promtool does not run here"
  mv "$package/promtool" .tools/bin/promtool
elif have brew; then
  say "installing prometheus with Homebrew, for promtool; it starts nothing"
  brew install --quiet prometheus || die "Homebrew could not install prometheus"
else
  die "promtool is not here, and there is neither apt nor Homebrew to fetch it"
fi
