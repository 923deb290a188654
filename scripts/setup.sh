#!/usr/bin/env bash
# Installs missing tools to run, test or lint the portal: `setup.sh [run|test|lint]`.
# Prints and changes nothing if everything is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
case $purpose in
  run | test | lint) ;;
  *)
    echo "usage: scripts/setup.sh [run|test|lint]" >&2
    exit 2
    ;;
esac

say() { echo "==> $*"; }
die() {
  echo "setup: $*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Lists of words: packages that are required, and those that only some tests or lints need.
required=""
optional=""

want_system_packages() {
  if ! have cc; then required+=" compiler"; fi
  if [ "$purpose" != lint ] && ! scripts/find-postgres.sh >/dev/null 2>&1; then required+=" postgres"; fi
  # Optional packages are installed only if that needs no password. Tests and lints report a missing one.
  if [ "$(id -u)" != 0 ] || ! have apt-get; then return; fi
  if [ "$purpose" = test ]; then
    # The browser without windows, which needs half the time.
    if [ -z "${CHROMIUM:-}" ] && ! have chromium-headless-shell; then optional+=" headless-chromium"; fi
    if ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then optional+=" faketime"; fi
    if ! have pgbouncer && [ ! -x /usr/sbin/pgbouncer ]; then optional+=" pgbouncer"; fi
  fi
  if [ "$purpose" = lint ] && ! have shellcheck; then optional+=" shellcheck"; fi
}

# shellcheck disable=SC2086 # lists of words
install_system_packages() {
  # All at once is fastest. If that fails, one unavailable package must not prevent the others.
  if [ -n "$required$optional" ] && ! scripts/install-system-packages.sh $required $optional; then
    if [ -n "$required" ]; then scripts/install-system-packages.sh $required; fi
    for thing in $optional; do
      scripts/install-system-packages.sh "$thing" || say "$thing not installed: some tests or lints are skipped"
    done
  fi
  if [ "$purpose" = test ] && ! scripts/find-chromium.sh >/dev/null 2>&1; then
    scripts/install-system-packages.sh chromium
  fi
}

# Installs the npm packages of package-lock.json if they are missing.
install_npm_packages() {
  local oldest=20 installed=node_modules/.installed-lock.json
  if ! have node || ! have npm || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt "$oldest" ]; then
    die "Node.js $oldest or newer with npm is needed: install it from https://nodejs.org"
  fi
  if cmp -s package-lock.json "$installed"; then return; fi
  say "installing npm packages"
  # No package needs its install script, and the tests use the system's browser.
  PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json "$installed"
}

want_system_packages
install_system_packages
scripts/install-rust.sh
if [ "$purpose" = lint ]; then exit 0; fi

install_npm_packages
scripts/wasm-bindgen.sh --install >/dev/null
if [ "$purpose" = test ]; then
  # Only needed to check docs/operations.
  scripts/promtool.sh --install >/dev/null || say "promtool not installed: docs/operations is not checked"
fi
