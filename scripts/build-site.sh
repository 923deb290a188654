#!/usr/bin/env bash
# Builds all files that a browser fetches: `build-site.sh [--profile NAME] [--out FOLDER]`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
profile=wasm-release
out=$target/site
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2 ;;
    --out) out=$2 ;;
    *)
      echo "usage: scripts/build-site.sh [--profile NAME] [--out FOLDER]" >&2
      exit 2
      ;;
  esac
  shift 2
done

echo "==> site: compiling the browser's part ($profile)"
# Panic messages name source files. Remove the path of the build machine.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
build=(cargo build --lib --target wasm32-unknown-unknown --no-default-features --features hydrate --profile "$profile")
if [ "$profile" = wasm-release ]; then
  # Recompile the standard library without panic messages, which makes the module a tenth smaller. The options are unstable:
  # RUSTC_BOOTSTRAP enables them for the compiler that rust-toolchain.toml pins.
  # A `dev` build keeps panic messages.
  RUSTC_BOOTSTRAP=1 "${build[@]}" \
    --config "build.rustflags=['--remap-path-prefix=$registry=', '--remap-path-prefix=$PWD=', \
      '-Zunstable-options', '-Cpanic=immediate-abort', '-Zlocation-detail=none', '-Zfmt-debug=none']" \
    -Zbuild-std=std -Zbuild-std-features=optimize_for_size
else
  "${build[@]}" --config "build.rustflags=['--remap-path-prefix=$registry=', '--remap-path-prefix=$PWD=']"
fi

# Cargo names the folder of its `dev` profile `debug`.
folder=$profile
if [ "$profile" = dev ]; then folder=debug; fi
module=$target/wasm32-unknown-unknown/$folder/broker_portal.wasm

inputs=$(node scripts/fingerprint.mjs "$module" style public Cargo.lock package-lock.json \
  scripts/build-site.sh scripts/drop-unused-exports.mjs scripts/bundle-css.mjs scripts/pack-site.mjs)
if [ -f "$out/pkg/output-name" ] && [ "$(cat "$out.inputs" 2>/dev/null)" = "$inputs" ]; then
  echo "==> site: up to date in $out"
  exit 0
fi

wasm_bindgen=$(scripts/find-wasm-bindgen.sh)
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

echo "==> site: generating JavaScript and shrinking the module"
"$wasm_bindgen" --target web --no-typescript --out-name portal --out-dir "$work/pkg" \
  --remove-name-section --remove-producers-section "$module"

node scripts/drop-unused-exports.mjs "$work/pkg/portal_bg.wasm"

# Enable only the features that rustc uses by default. The lowest kilobyte of memory is the end of the stack, which is unused
# unless the stack is about to overflow.
node_modules/.bin/wasm-opt -Oz --converge --flatten --rereloop -Oz -Oz --low-memory-unused \
  --enable-bulk-memory --enable-bulk-memory-opt --enable-call-indirect-overlong \
  --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
  --enable-reference-types --enable-sign-ext \
  "$work/pkg/portal_bg.wasm" -o "$work/pkg/portal_bg.wasm"

echo "==> site: bundling the style sheet, naming and compressing"
node scripts/bundle-css.mjs style/main.css "$work/pkg/portal.css"
node scripts/pack-site.mjs "$work" public

# Replace the folder as a whole, so that a running server finds the old or the new site.
rm -f "$out.inputs"
if [ -e "$out" ]; then mv "$out" "$work.old"; fi
mv "$work" "$out"
rm -rf "$work.old"
echo "$inputs" > "$out.inputs"

node scripts/page-weight.mjs "$out"
