#!/usr/bin/env bash
# Runs all tests and prints the duration of each part.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests start their own Postgres and must not use the operator's database.
unset DATABASE_URL

target=${CARGO_TARGET_DIR:-target}
export LEPTOS_SITE_ROOT=$target/site
times=""
failed=""
finished=no

summary() {
  status=$?
  printf '\n==> times\n%s' "$times"
  if [ -n "$failed" ]; then
    echo "==> failed:$failed"
    status=1
  elif [ "$finished" = no ]; then
    # Stopped by a signal, or by a failed part that all others need.
    echo "==> stopped early"
    if [ "$status" = 0 ]; then status=1; fi
  else
    echo "==> all tests passed"
  fi
  exit "$status"
}
trap summary EXIT

# timed NAME COMMAND...: runs the command, records its duration and returns its status.
timed() {
  local name=$1 began=$SECONDS outcome=ok
  shift
  echo "==> $name"
  "$@" || outcome=failed
  times+=$(printf '  %-22s %5d s  %s' "$name" "$((SECONDS - began))" "$outcome")$'\n'
  if [ "$outcome" = failed ]; then
    failed+=" $name;"
    return 1
  fi
}

end_to_end() {
  CHROMIUM=$(scripts/find-chromium.sh) || return
  export CHROMIUM
  (cd end2end && ../node_modules/.bin/playwright test)
}

# All other parts need these.
timed "setup" scripts/setup.sh test
timed "site" scripts/build-site.sh
timed "server" cargo build --features ssr

# These are independent, so all run even if one fails.
timed "page weight" node scripts/page-weight.mjs "$LEPTOS_SITE_ROOT" || true
timed "unit and integration" cargo test --workspace --features ssr || true
timed "operations" scripts/check-operations.sh || true
timed "end to end" end_to_end || true
finished=yes
