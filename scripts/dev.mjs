// Builds and starts the portal, and repeats both on every save: `dev.mjs`. Reload the page to see a change.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, watch } from "node:fs";
import { join } from "node:path";
import { env } from "node:process";
import { setTimeout as wait } from "node:timers/promises";

const FOLDERS = ["src", "crates", "style", "public", "migrations"];
const FILES = ["build.rs", "Cargo.toml", "Cargo.lock"];
/** Editors and git write several files at once: a build starts after this many milliseconds without a change. */
const QUIET = 100;

const target = env.CARGO_TARGET_DIR ?? "target";
const site = `${target}/dev-site`;

let changes = 0;
let wake = () => {};
let watchers = [];
let server;

// A terminal sends Ctrl-C to the server as well. Wait until it has stopped.
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    await stopServer();
    process.exit();
  });
}

for (;;) {
  watchFolders();
  const seen = await quiet();
  const began = Date.now();
  if (await build()) {
    await stopServer();
    console.log(`==> built in ${((Date.now() - began) / 1000).toFixed(1)} s, starting the server`);
    server = spawn(`${target}/debug/broker-portal`, ["serve"], {
      env: { ...env, LEPTOS_SITE_ROOT: site },
      stdio: "inherit",
    });
  } else {
    console.log("==> the build failed; waiting for a change");
  }
  while (changes === seen) await new Promise((resolve) => (wake = resolve));
}

/**
 * Watches every folder by itself, since Node's recursive watch on Linux loses files that are replaced. Before each build, to
 * include new folders.
 */
function watchFolders() {
  const previous = watchers;
  const note = () => {
    changes += 1;
    wake();
  };
  const inside = FOLDERS.flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  watchers = [...FOLDERS, ...inside].map((folder) => watch(folder, note));
  watchers.push(watch(".", (_event, file) => FILES.includes(file) && note()));
  for (const watcher of previous) watcher.close();
}

/** Waits until nothing changes; returns the number of changes so far. */
async function quiet() {
  let seen;
  do {
    seen = changes;
    await wait(QUIET);
  } while (changes !== seen);
  return seen;
}

/** Builds server and site in parallel. Cargo skips what has not changed. */
async function build() {
  const results = await Promise.all([
    run("cargo", ["build", "--features", "ssr"]),
    run("scripts/build-site.sh", ["--dev", "--out", site]),
  ]);
  return results.every((ok) => ok);
}

async function run(program, args) {
  const [code] = await once(spawn(program, args, { stdio: "inherit" }), "exit");
  return code === 0;
}

async function stopServer() {
  if (!server || server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, "exit");
  server.kill("SIGTERM");
  await ended;
}
