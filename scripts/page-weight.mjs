// Prints the size of a first visit. Fails if it exceeds the limit, or if a compressed copy differs from its original:
// `page-weight.mjs [SITE]`.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { argv, env, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

/** Limit in bytes of brotli per file, exclusive. */
const LIMITS = { wasm: 269_000, css: 15_000 };
const UNPACK = { ".br": brotliDecompressSync, ".gz": gunzipSync };

/** All files in a folder and its subfolders, in a stable order. */
export function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

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

if (argv[1] === fileURLToPath(import.meta.url)) check(argv[2] ?? `${env.CARGO_TARGET_DIR ?? "target"}/site`);

function check(site) {
  try {
    filesUnder(site).forEach(checkCopy);
    const weights = weigh(site);
    printTable(weights);
    for (const [kind, limit] of Object.entries(LIMITS)) {
      const { brotli } = weights[kind];
      if (brotli >= limit) {
        throw new Error(`the ${kind} is ${brotli} bytes in brotli; it must be below ${limit}`);
      }
    }
  } catch (error) {
    console.error(`page weight: ${error.message}`);
    exit(1);
  }
}

function checkCopy(file) {
  const encoding = Object.keys(UNPACK).find((ending) => file.endsWith(ending));
  if (!encoding) return;
  const original = file.slice(0, -encoding.length);
  if (!existsSync(original)) throw new Error(`${file} has no original`);
  if (!UNPACK[encoding](readFileSync(file)).equals(readFileSync(original))) {
    throw new Error(`${file} does not contain ${original}`);
  }
}
