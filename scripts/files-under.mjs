import { readdirSync } from "node:fs";
import { join } from "node:path";

/** All files in a folder and its subfolders, in a stable order. */
export function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}
