import { readdirSync } from "node:fs";
import { join } from "node:path";

/** Every file in a folder and its folders, in a stable order. */
export function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}
