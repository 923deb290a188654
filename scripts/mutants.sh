#!/usr/bin/env bash
# Runs cargo-mutants on pure code: `scripts/mutants.sh [FILE...]`, by default all of src/domain and the state machine of a tab.
# It copies the code into a separate package, where a mutant takes seconds instead of minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
  echo "mutants: cargo-mutants was not found: run 'cargo install cargo-mutants --locked'" >&2
  exit 1
fi

root=$PWD
pure=${CARGO_TARGET_DIR:-$root/target}/mutants/pure
rm -rf "$pure"
mkdir -p "$pure/src/ui/live"
cp -R src/domain "$pure/src/"
cp -R src/ui/live/machine src/ui/live/machine.rs "$pure/src/ui/live/"
cp Cargo.lock rust-toolchain.toml "$pure/"

cat > "$pure/src/lib.rs" <<'RUST'
pub mod domain;
pub mod ui {
    pub mod live {
        pub mod machine;
    }
}
RUST

# Use the portal's versions of its dependencies.
{
  printf '[package]\nname = "pure"\nversion = "0.1.0"\nedition = "2024"\n\n[workspace]\n\n[features]\ndefault = ["ssr"]\n'
  printf 'ssr = ["dep:unicode-normalization", "dep:utoipa", "uuid/v4"]\n\n[dependencies]\n'
  grep -E '^(chrono|serde|serde_json|thiserror|unicode-normalization|utoipa|uuid) = ' Cargo.toml
  printf '\n[dev-dependencies]\n'
  sed -n '/^\[dev-dependencies\]/,/^$/p' Cargo.toml | grep ' = '
} > "$pure/Cargo.toml"

files=()
for file in "$@"; do files+=(--file "$file"); done
exec cargo mutants --dir "$pure" --output "$pure/.." --jobs 1 "${files[@]}" -- --lib
