// Prints one hash over the names and contents of the given files and folders.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { filesUnder } from "./files-under.mjs";

const hash = createHash("sha256");
for (const argument of process.argv.slice(2)) {
  if (!existsSync(argument)) continue;
  const files = statSync(argument).isDirectory() ? filesUnder(argument) : [argument];
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
}
console.log(hash.digest("hex"));
