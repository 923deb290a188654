// Removes exports that no page uses, with everything that only they need: `drop-unused-exports.mjs MODULE`. A linked library
// exports classes for byte streams, and the linker must keep exports.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { argv } from "node:process";

const UNUSED = /^(__wbg_)?intounderlying/;

const [file] = argv.slice(2);
const module = new WebAssembly.Module(readFileSync(file));
const kept = WebAssembly.Module.exports(module).filter(({ name }) => !UNUSED.test(name));
const graph = [
  { name: "page", root: true, reaches: kept.map(({ name }) => name) },
  ...kept.map(({ name }) => ({ name, export: name })),
];
const list = `${file}.graph.json`;
writeFileSync(list, JSON.stringify(graph));
const features = ["bulk-memory", "bulk-memory-opt", "call-indirect-overlong", "multivalue", "mutable-globals",
  "nontrapping-float-to-int", "reference-types", "sign-ext"].map(name => `--enable-${name}`);
execFileSync("node_modules/.bin/wasm-metadce", [file, "--graph-file", list, "-o", file, ...features], {
  stdio: ["ignore", "ignore", "inherit"],
});
rmSync(list);
