#!/usr/bin/env bash
# Installs the toolchain of rust-toolchain.toml if it is missing. Explicitly, because rustup's automatic installation can be
# switched off.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTUP_AUTO_INSTALL=0
target=wasm32-unknown-unknown
channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)

complete() {
  sysroot=$(rustc --print sysroot 2>/dev/null) &&
    [ -d "$sysroot/lib/rustlib/$target/lib" ] &&
    [ -x "$sysroot/bin/cargo-clippy" ] &&
    [ -x "$sysroot/bin/rustfmt" ] &&
    [ -d "$sysroot/lib/rustlib/src/rust/library" ]
}

if complete; then exit 0; fi

if ! command -v rustup >/dev/null 2>&1; then
  echo "setup: Rust $channel with the target $target is needed: install rustup from https://rustup.rs" >&2
  exit 1
fi

echo "==> installing Rust $channel with $target"
rustup toolchain install "$channel" --no-self-update --profile minimal \
  --component rustfmt --component clippy --component rust-src --target "$target"
