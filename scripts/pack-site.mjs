// Finishes a built site in place: `pack-site.mjs SITE PUBLIC` copies the public files, adds a content hash to the names of the
// page's own files, and writes compressed copies.
import { createHash } from "node:crypto";
import { cpSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { filesUnder } from "./files-under.mjs";

const TEXT_LIKE = [".css", ".html", ".js", ".json", ".svg", ".txt", ".wasm", ".webmanifest", ".xml"];

const [site, publicFolder] = process.argv.slice(2);
const pkg = join(site, "pkg");

const outputName = nameByContent();
if (existsSync(publicFolder)) cpSync(publicFolder, site, { recursive: true });
await Promise.all(
  filesUnder(site)
    .filter((file) => TEXT_LIKE.includes(extname(file)))
    .map(compress),
);
// The server reads the hash when it starts.
writeFileSync(join(pkg, "output-name"), outputName);

/** One hash for all files, so that a page never combines files of two builds. */
function nameByContent() {
  const hash = createHash("sha256");
  for (const file of filesUnder(pkg)) hash.update(file.slice(pkg.length)).update(readFileSync(file));
  const name = `portal.${hash.digest("hex").slice(0, 16)}`;

  // The script contains the default name of its module.
  const script = readFileSync(join(pkg, "portal.js"), "utf8");
  writeFileSync(join(pkg, "portal.js"), script.replaceAll("portal_bg.wasm", `${name}_bg.wasm`));

  for (const suffix of [".js", "_bg.wasm", ".css"]) {
    renameSync(join(pkg, `portal${suffix}`), join(pkg, `${name}${suffix}`));
  }
  return name;
}

async function compress(file) {
  const content = readFileSync(file);
  const brotliParams = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(content, { params: brotliParams }),
    promisify(gzip)(content, { level: constants.Z_BEST_COMPRESSION }),
  ]);
  writeFileSync(`${file}.br`, br);
  writeFileSync(`${file}.gz`, gz);
}
