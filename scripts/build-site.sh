#!/usr/bin/env bash
# Builds all files that a browser fetches: `build-site.sh [--dev] [--out FOLDER]`. `--dev` makes a fast, large build.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
dev=""
out=$target/site
while [ $# -gt 0 ]; do
  case $1 in
    --dev) dev=--dev ;;
    --out)
      out=$2
      shift
      ;;
    *)
      echo "usage: scripts/build-site.sh [--dev] [--out FOLDER]" >&2
      exit 2
      ;;
  esac
  shift
done

build=(cargo build --lib --target wasm32-unknown-unknown --no-default-features --features hydrate)
if [ -n "$dev" ]; then
  profile=wasm-dev
  echo "==> site: compiling the browser's part, for development"
  "${build[@]}" --profile "$profile"
else
  profile=wasm-release
  echo "==> site: compiling the browser's part"
  # Panic messages name source files. Remove the path of the build machine.
  registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
  # Recompile the standard library without panic messages, which makes the module a tenth smaller. The options are unstable:
  # RUSTC_BOOTSTRAP enables them for the compiler that rust-toolchain.toml pins.
  # A `--dev` build keeps panic messages.
  RUSTC_BOOTSTRAP=1 "${build[@]}" --profile "$profile" \
    --config "build.rustflags=['--remap-path-prefix=$registry=', '--remap-path-prefix=$PWD=', \
      '-Zunstable-options', '-Cpanic=immediate-abort', '-Zlocation-detail=none', '-Zfmt-debug=none']" \
    -Zbuild-std=std -Zbuild-std-features=optimize_for_size
fi

node scripts/pack-site.mjs "$target/wasm32-unknown-unknown/$profile/broker_portal.wasm" "$out" ${dev:+"$dev"}
