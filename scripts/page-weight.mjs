// Measures the size of a first visit. `page-weight.mjs SITE` prints it as a table.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

/** The page's own files: `{ js, wasm, css }`, each with its path and its bytes on the wire. */
export function weigh(site) {
  const pkg = join(site, "pkg");
  const name = readFileSync(join(pkg, "output-name"), "utf8").trim();
  const weight = (suffix) => {
    const path = join(pkg, name + suffix);
    const bytes = (encoding) => statSync(path + encoding).size;
    return { file: name + suffix, path, raw: bytes(""), gzip: bytes(".gz"), brotli: bytes(".br") };
  };
  return { js: weight(".js"), wasm: weight("_bg.wasm"), css: weight(".css") };
}

export function printTable(weights) {
  const rows = Object.values(weights);
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  rows.push({ file: "total", raw: total("raw"), gzip: total("gzip"), brotli: total("brotli") });

  const kilobytes = (bytes) => (bytes / 1000).toFixed(1).padStart(9);
  const width = Math.max(...rows.map((row) => row.file.length));
  console.log(`${"kB".padEnd(width)}      raw     gzip   brotli`);
  for (const { file, raw, gzip, brotli } of rows) {
    console.log(file.padEnd(width) + kilobytes(raw) + kilobytes(gzip) + kilobytes(brotli));
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) printTable(weigh(argv[2]));
