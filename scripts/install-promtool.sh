#!/usr/bin/env bash
# Fetches promtool into .tools/bin to check Prometheus rules. It is extracted from Debian's package (19 MB); installing the
# package would start a Prometheus.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "==> $*"; }
die() {
  echo "setup: $*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

if have apt-get && have dpkg-deb; then
  say "extracting promtool from Debian's prometheus package"
  package=$(mktemp -d)
  trap 'rm -rf "$package"' EXIT
  # apt writes into it as its own user.
  chmod 755 "$package"
  (cd "$package" && apt-get download -qq prometheus >/dev/null 2>&1) \
    || die "apt has no package prometheus (is 'apt-get update' long ago?)"
  mkdir -p .tools/bin
  dpkg-deb --fsys-tarfile "$package"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$package/promtool"
  chmod 755 "$package/promtool"
  "$package/promtool" --version >/dev/null 2>&1 || die "Debian's promtool does not run here"
  mv "$package/promtool" .tools/bin/promtool
elif have brew; then
  say "installing prometheus with Homebrew for promtool; no service is started"
  brew install --quiet prometheus || die "Homebrew could not install prometheus"
else
  die "promtool is not here, and there is neither apt nor Homebrew to fetch it"
fi
