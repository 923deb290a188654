#!/usr/bin/env bash
# Installs a Cargo tool into .tools: `install-tool.sh NAME VERSION [cargo install options]`.
# Unoptimised, because the longer build would take more time than it saves.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1 version=$2
shift 2

if command -v cargo-binstall >/dev/null 2>&1 &&
  cargo binstall --no-confirm --root .tools "$name@$version"; then
  exit 0
fi
cargo install "$name" --version "=$version" --debug --root .tools "$@"
