#!/usr/bin/env bash
# Installs what is missing to run the portal, or with `test` to test it as well.
# Says nothing and changes nothing when all is there.
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

# Installs by itself where that asks nobody for a password.
can_install() { [ "$(id -u)" = 0 ] && have apt-get; }

if [ "$purpose" = test ] && [ -z "${CHROMIUM:-}" ] && ! have chromium-headless-shell && can_install; then
  # The same browser without the parts that are only for eyes: it tests in half the time.
  scripts/install-system-packages.sh headless-chromium || say "testing in a whole Chromium, which takes longer"
fi

wanted=""
if ! have cc; then wanted="$wanted compiler"; fi
if ! scripts/find-postgres.sh >/dev/null 2>&1; then wanted="$wanted postgres"; fi
if [ "$purpose" = test ] && ! scripts/find-chromium.sh >/dev/null 2>&1; then wanted="$wanted chromium"; fi

# shellcheck disable=SC2086 # a list of words
if [ -n "$wanted" ]; then scripts/install-system-packages.sh $wanted; fi

if [ "$purpose" = test ] && ! scripts/find-promtool.sh >/dev/null 2>&1; then
  # Alerts are checked with it, and nothing else: without it the rest is tested all the same.
  scripts/install-promtool.sh || say "going on without it: docs/operations is not checked"
fi

# The test of a clock that jumps needs it, and says so where it has to be skipped.
if [ "$purpose" = test ] && can_install \
  && ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then
  scripts/install-system-packages.sh faketime || say "without libfaketime one test is skipped"
fi

# The tests of a pooler need it, and say so where they have to be skipped.
if [ "$purpose" = test ] && can_install && ! have pgbouncer && [ ! -x /usr/sbin/pgbouncer ]; then
  scripts/install-system-packages.sh pgbouncer || say "without PgBouncer two tests are skipped"
fi

scripts/install-rust.sh
scripts/install-npm-packages.sh

if ! scripts/find-wasm-bindgen.sh >/dev/null 2>&1; then
  version=$(scripts/locked-version.sh wasm-bindgen)
  say "installing wasm-bindgen $version into .tools"
  scripts/install-tool.sh wasm-bindgen-cli "$version"
fi
