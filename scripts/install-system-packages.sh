#!/usr/bin/env bash
# Installs system packages by purpose: compiler, postgres, chromium, headless-chromium, faketime, pgbouncer, shellcheck.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "==> $*"; }
die() {
  echo "setup: $*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "installing $wanted needs root, and there is no sudo"
  fi
}

with_apt() {
  packages=""
  for thing in "$@"; do
    case $thing in
      compiler) packages="$packages build-essential" ;;
      postgres) packages="$packages postgresql" ;;
      chromium) packages="$packages chromium" ;;
      headless-chromium) packages="$packages chromium-headless-shell" ;;
      faketime) packages="$packages libfaketime" ;;
      pgbouncer | shellcheck) packages="$packages $thing" ;;
    esac
  done
  say "installing$packages with apt"

  # The portal starts its own cluster. Debian's would only occupy the port.
  # Keep the setting of an existing installation.
  override=/etc/postgresql-common/createcluster.d/broker-portal.conf
  if [ ! -e /etc/postgresql-common ]; then
    as_root mkdir -p "$(dirname "$override")"
    echo "create_main_cluster = false" | as_root tee "$override" >/dev/null
  else
    override=""
  fi

  status=0
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || status=$?
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $packages >/dev/null || status=$?
  if [ -n "$override" ]; then as_root rm -f "$override"; fi
  [ "$status" = 0 ] || die "apt could not install$packages"

  # The tests start PgBouncer themselves. Debian's service has no database.
  case " $* " in *" pgbouncer "*)
    if have systemctl; then as_root systemctl disable --now --quiet pgbouncer 2>/dev/null || true; fi
    ;;
  esac
}

with_brew() {
  for thing in "$@"; do
    case $thing in
      compiler) die "no C compiler: run 'xcode-select --install'" ;;
      chromium) die "no Chrome: install it, or set CHROMIUM to the path of a Chromium" ;;
      postgres)
        say "installing postgresql@17 with Homebrew"
        brew install --quiet postgresql@17 || die "Homebrew could not install postgresql@17"
        ;;
    esac
  done
}

wanted="$*"
if have apt-get; then
  with_apt "$@"
elif have brew; then
  with_brew "$@"
else
  die "please install: $wanted (Postgres 15 or newer; there is neither apt nor Homebrew to do it)"
fi

case " $wanted " in *" postgres "*)
  scripts/find-postgres.sh >/dev/null 2>&1 || die "this system's packages have no Postgres 15 or newer"
  ;;
esac
case " $wanted " in *" chromium "*)
  scripts/find-chromium.sh >/dev/null 2>&1 || die "this system's packages have no Chromium: set CHROMIUM to the path of one"
  ;;
esac
