#!/usr/bin/env bash
# Runs all tests and prints the duration of each part.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests start their own Postgres and must not use the operator's database.
unset DATABASE_URL

target=${CARGO_TARGET_DIR:-target}
export LEPTOS_SITE_ROOT=$target/site
work=$(mktemp -d)
running=""
times=""
failed=""
finished=no

summary() {
  status=$?
  for group in $running; do kill -- "-$group" 2>/dev/null || true; done
  rm -rf "$work"
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

# record NAME STATUS SECONDS: adds a part to the summary and returns its status.
record() {
  local outcome=ok
  if [ "$2" != 0 ]; then
    outcome=failed
    failed+=" $1;"
  fi
  times+=$(printf '  %-22s %5d s  %s' "$1" "$3" "$outcome")$'\n'
  return "$2"
}

# timed NAME COMMAND...: runs the command, records its duration and returns its status.
timed() {
  local name=$1 began=$SECONDS status=0
  shift
  echo "==> $name"
  "$@" || status=$?
  record "$name" "$status" "$((SECONDS - began))"
}

# start FILE COMMAND...: runs the command in the background, in its own process group so that it ends with this script.
start() {
  local file=$work/$1
  shift
  set -m
  (
    began=$SECONDS status=0
    "$@" >"$file.log" 2>&1 || status=$?
    echo "$status $((SECONDS - began))" >"$file.result"
  ) &
  echo $! >"$file.pid"
  running+=" $!"
  set +m
}

# finish FILE NAME: waits for a started command, prints its output and records it.
finish() {
  local file=$work/$1 name=$2 status=1 seconds=0 pid
  pid=$(cat "$file.pid")
  wait "$pid" || true
  running=${running/ $pid/}
  echo "==> $name"
  cat "$file.log"
  if [ -f "$file.result" ]; then read -r status seconds <"$file.result"; fi
  record "$name" "$status" "$seconds"
}

end_to_end() {
  CHROMIUM=$(scripts/find-chromium.sh) || return
  export CHROMIUM
  (cd end2end && ../node_modules/.bin/playwright test)
}

# All other parts need these. The end of the site's build uses one core, and so does the compiler for each test executable.
timed "setup" scripts/setup.sh test
start site scripts/build-site.sh
timed "server and tests" cargo test --workspace --features ssr --no-run
finish site "site"

# These are independent, so all run even if one fails. Nothing runs beside the fault tests, which measure deadlines.
timed "page weight" node scripts/page-weight.mjs "$LEPTOS_SITE_ROOT" || true
timed "unit and integration" cargo test --workspace --features ssr --lib --bins --test portal || true
timed "faults" cargo test --workspace --features ssr --test faults || true
timed "operations" scripts/check-operations.sh || true
timed "end to end" end_to_end || true
finished=yes
