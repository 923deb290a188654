// Fails if a first visit exceeds the size limit, or if a compressed copy differs from its original:
// `check-page-weight.mjs [SITE]`.
import { existsSync, readFileSync } from "node:fs";
import { exit, argv } from "node:process";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { filesUnder } from "./files-under.mjs";
import { printTable, weigh } from "./page-weight.mjs";

/** Limit in bytes of brotli per file, exclusive. */
const LIMITS = { wasm: 268_000, css: 15_000 };
const UNPACK = { ".br": brotliDecompressSync, ".gz": gunzipSync };

const site = argv[2] ?? `${process.env.CARGO_TARGET_DIR ?? "target"}/site`;

try {
  for (const file of filesUnder(site)) checkCopy(file);
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

function checkCopy(file) {
  const encoding = Object.keys(UNPACK).find((ending) => file.endsWith(ending));
  if (!encoding) return;
  const original = file.slice(0, -encoding.length);
  if (!existsSync(original)) throw new Error(`${file} has no original`);
  if (!UNPACK[encoding](readFileSync(file)).equals(readFileSync(original))) {
    throw new Error(`${file} does not contain ${original}`);
  }
}
