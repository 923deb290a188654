#!/usr/bin/env bash
# Prints the path of Prometheus' promtool: from PATH, else from .tools.
set -euo pipefail
cd "$(dirname "$0")/.."

if found=$(command -v promtool); then
  echo "$found"
elif [ -x .tools/bin/promtool ]; then
  echo "$PWD/.tools/bin/promtool"
else
  echo "promtool was not found: run scripts/install-promtool.sh" >&2
  exit 1
fi
