#!/usr/bin/env bash
# Installs the npm packages of package-lock.json if they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=20
installed=node_modules/.installed-lock.json

if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
  echo "setup: Node.js $oldest or newer with npm is needed: install it from https://nodejs.org" >&2
  exit 1
fi
if cmp -s package-lock.json "$installed"; then exit 0; fi

major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt "$oldest" ]; then
  echo "setup: Node.js $oldest or newer is needed, this is $(node --version)" >&2
  exit 1
fi

echo "==> installing npm packages"
# No package needs its install script, and the tests use the system's browser.
PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp package-lock.json "$installed"
