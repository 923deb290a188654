#!/usr/bin/env bash
# Prints the path of Prometheus' promtool: one on the PATH, or the one that setup put into .tools.
set -euo pipefail
cd "$(dirname "$0")/.."

if found=$(command -v promtool); then
  echo "$found"
elif [ -x .tools/bin/promtool ]; then
  echo "$PWD/.tools/bin/promtool"
else
  echo "no promtool: scripts/install-promtool.sh fetches it" >&2
  exit 1
fi
