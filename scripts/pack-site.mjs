// Creates a site from the compiled module, the style sheets and the public files: `pack-site.mjs MODULE SITE [--dev]`.
// `--dev` skips shrinking and compressing.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { argv, exit } from "node:process";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { bundle } from "lightningcss";
import { filesUnder, printTable, weigh } from "./page-weight.mjs";

const STYLE = "style";
const PUBLIC = "public";
const TEXT_LIKE = [".css", ".html", ".js", ".json", ".svg", ".txt", ".wasm", ".webmanifest", ".xml"];

// Only the features that rustc uses by default.
const WASM_FEATURES = ["bulk-memory", "bulk-memory-opt", "call-indirect-overlong", "multivalue", "mutable-globals",
  "nontrapping-float-to-int", "reference-types", "sign-ext"].map((name) => `--enable-${name}`);

// A linked library exports classes for byte streams, which no page uses. The linker must keep exports.
const UNUSED_EXPORTS = /^(__wbg_)?intounderlying/;

const version = (major, minor = 0) => (major << 16) | (minor << 8);

// The first versions with `light-dark()`. Newer syntax than these support is expanded.
const BROWSERS = {
  chrome: version(123),
  edge: version(123),
  firefox: version(120),
  safari: version(17, 5),
  ios_saf: version(17, 5),
};

const [moduleFile, site, mode] = argv.slice(2);
const isDev = mode === "--dev";

const inputs = fingerprint([moduleFile, STYLE, PUBLIC, "Cargo.lock", "package-lock.json", "scripts/pack-site.mjs"]);
const inputsFile = `${site}.inputs`;
if (existsSync(join(site, "pkg/output-name")) && existsSync(inputsFile) && readFileSync(inputsFile, "utf8") === inputs) {
  console.log(`==> site: up to date in ${site}`);
  exit(0);
}

mkdirSync(dirname(site), { recursive: true });
const work = mkdtempSync(`${site}.`);
try {
  await build();
  // Replace the folder as a whole, so that a running server finds the old or the new site.
  rmSync(inputsFile, { force: true });
  if (existsSync(site)) renameSync(site, `${work}/old`);
  renameSync(join(work, "site"), site);
  writeFileSync(inputsFile, inputs);
  if (!isDev) printTable(weigh(site));
} catch (error) {
  console.error(`site: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function build() {
  const folder = join(work, "site");
  const pkg = join(folder, "pkg");
  const module = join(pkg, "portal_bg.wasm");
  chmodSync(work, 0o755);
  mkdirSync(pkg, { recursive: true });

  console.log("==> site: generating JavaScript");
  const wasmBindgen = execFileSync("scripts/wasm-bindgen.sh", { encoding: "utf8" }).trim();
  run(wasmBindgen, ["--target", "web", "--no-typescript", "--out-name", "portal", "--out-dir", pkg,
    ...(isDev ? [] : ["--remove-name-section", "--remove-producers-section"]), moduleFile]);
  if (!isDev) {
    console.log("==> site: shrinking the module");
    dropUnusedExports(module);
    // The lowest kilobyte of memory is the end of the stack, which is unused unless the stack is about to overflow.
    binaryen("wasm-opt", ["-Oz", "--converge", "--flatten", "--rereloop", "-Oz", "-Oz", "--low-memory-unused",
      module, "-o", module]);
  }

  console.log("==> site: bundling the style sheet");
  bundleCss(join(STYLE, "main.css"), join(pkg, "portal.css"));
  const outputName = nameByContent(pkg);
  cpSync(PUBLIC, folder, { recursive: true });
  if (!isDev) {
    await Promise.all(filesUnder(folder).filter((file) => TEXT_LIKE.includes(extname(file))).map(compress));
  }
  // The server reads the hash when it starts.
  writeFileSync(join(pkg, "output-name"), outputName);
}

function run(program, args) {
  execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
}

function binaryen(program, args) {
  run(join("node_modules/.bin", program), [...args, ...WASM_FEATURES]);
}

/** One hash over the names and contents of files and folders, and over the mode. */
function fingerprint(paths) {
  const hash = createHash("sha256").update(mode ?? "");
  for (const path of paths) {
    for (const file of statSync(path).isDirectory() ? filesUnder(path) : [path]) {
      const content = readFileSync(file);
      hash.update(`${file}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest("hex");
}

/** Removes exports that no page uses, with all that only they need. */
function dropUnusedExports(file) {
  const kept = WebAssembly.Module.exports(new WebAssembly.Module(readFileSync(file)))
    .filter(({ name }) => !UNUSED_EXPORTS.test(name));
  const graph = [
    { name: "page", root: true, reaches: kept.map(({ name }) => name) },
    ...kept.map(({ name }) => ({ name, export: name })),
  ];
  const list = join(work, "exports.json");
  writeFileSync(list, JSON.stringify(graph));
  binaryen("wasm-metadce", [file, "--graph-file", list, "-o", file]);
}

/** Follows the imports of a style sheet and writes one minified file. */
function bundleCss(input, output) {
  try {
    const { code, warnings } = bundle({ filename: input, minify: true, targets: BROWSERS });
    const lines = warnings.map(({ message, loc }) => `${loc.filename}:${loc.line}:${loc.column}: ${message}`);
    // A warning means that a browser would ignore a rule silently.
    if (lines.length > 0) throw new Error(lines.join("\n"));
    writeFileSync(output, code);
  } catch (error) {
    const { fileName, loc } = error;
    throw fileName ? new Error(`${fileName}:${loc?.line ?? 0}:${loc?.column ?? 0}: ${error.message}`) : error;
  }
}

/** Adds one hash to the names of all files, so that a page never combines files of two builds. */
function nameByContent(pkg) {
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

/** Writes compressed copies beside a file. */
async function compress(file) {
  const content = readFileSync(file);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(content, { params }),
    promisify(gzip)(content, { level: constants.Z_BEST_COMPRESSION }),
  ]);
  writeFileSync(`${file}.br`, br);
  writeFileSync(`${file}.gz`, gz);
}
