#!/usr/bin/env bash
# Installs missing tools to run the portal, or with `test` to test it as well.
# Prints and changes nothing if everything is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
case $purpose in
  run | test) ;;
  *)
    echo "usage: scripts/setup.sh [run|test]" >&2
    exit 2
    ;;
esac

say() { echo "==> $*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# Whether packages can be installed without asking for a password.
can_install() { [ "$(id -u)" = 0 ] && have apt-get; }

if [ "$purpose" = test ] && [ -z "${CHROMIUM:-}" ] && ! have chromium-headless-shell && can_install; then
  # The browser without windows, which needs half the time.
  scripts/install-system-packages.sh headless-chromium || say "using a full Chromium, which takes longer"
fi

wanted=""
if ! have cc; then wanted="$wanted compiler"; fi
if ! scripts/find-postgres.sh >/dev/null 2>&1; then wanted="$wanted postgres"; fi
if [ "$purpose" = test ] && ! scripts/find-chromium.sh >/dev/null 2>&1; then wanted="$wanted chromium"; fi

# shellcheck disable=SC2086 # a list of words
if [ -n "$wanted" ]; then scripts/install-system-packages.sh $wanted; fi

if [ "$purpose" = test ] && ! scripts/find-promtool.sh >/dev/null 2>&1; then
  # Only needed to check docs/operations.
  scripts/install-promtool.sh || say "promtool not installed: docs/operations is not checked"
fi

# Only needed for the test of a clock that jumps.
if [ "$purpose" = test ] && can_install \
  && ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then
  scripts/install-system-packages.sh faketime || say "libfaketime not installed: one test is skipped"
fi

# Only needed for the tests with a pooler.
if [ "$purpose" = test ] && can_install && ! have pgbouncer && [ ! -x /usr/sbin/pgbouncer ]; then
  scripts/install-system-packages.sh pgbouncer || say "PgBouncer not installed: two tests are skipped"
fi

scripts/install-rust.sh
scripts/install-npm-packages.sh

if ! scripts/find-wasm-bindgen.sh >/dev/null 2>&1; then
  version=$(scripts/locked-version.sh wasm-bindgen)
  say "installing wasm-bindgen $version into .tools"
  scripts/install-tool.sh wasm-bindgen-cli "$version"
fi
