#!/usr/bin/env bash
# Prints the path of a Chromium or Chrome for the browser tests. CHROMIUM overrides it. The headless shell is the fastest.
set -euo pipefail

for candidate in \
  "${CHROMIUM:-}" \
  chromium-headless-shell \
  chromium \
  chromium-browser \
  google-chrome \
  google-chrome-stable \
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
  "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
  if [ -n "$candidate" ] && found=$(command -v "$candidate"); then
    echo "$found"
    exit 0
  fi
done

echo "Chromium or Chrome was not found: run 'scripts/setup.sh test', or set CHROMIUM to its path" >&2
exit 1
