#!/usr/bin/env bash
# Rebuilds and restarts the portal whenever a file is saved.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh run

# cargo-leptos takes its tools from PATH.
PATH=$(dirname "$(scripts/find-wasm-bindgen.sh)"):$PWD/.tools/bin:$PATH
export PATH

if ! command -v cargo-leptos >/dev/null 2>&1; then
  echo "==> installing cargo-leptos into .tools; this takes some minutes without cargo-binstall"
  scripts/install-tool.sh cargo-leptos 0.3.10 --locked --features no_downloads
fi

# Separate folders: it compiles with other variables, so a shared folder would be rebuilt at each switch between
# `make dev` and `make run`.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/dev
export LEPTOS_SITE_ROOT=$CARGO_TARGET_DIR/site
exec cargo leptos watch -- serve
