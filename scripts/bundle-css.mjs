// Follows the @imports of a style sheet and writes one minified file: `bundle-css.mjs IN OUT`.
import { writeFileSync } from "node:fs";
import { bundle } from "lightningcss";

const [input, output] = process.argv.slice(2);

const version = (major, minor = 0) => (major << 16) | (minor << 8);

// The first versions with `light-dark()`. Newer syntax than these support is expanded.
const targets = {
  chrome: version(123),
  edge: version(123),
  firefox: version(120),
  safari: version(17, 5),
  ios_saf: version(17, 5),
};

try {
  const { code, warnings } = bundle({ filename: input, minify: true, targets });
  for (const { message, loc } of warnings) {
    console.error(`${loc.filename}:${loc.line}:${loc.column}: ${message}`);
  }
  // A warning means that a browser would ignore a rule silently.
  if (warnings.length > 0) process.exit(1);
  writeFileSync(output, code);
} catch (error) {
  const { fileName = input, loc } = error;
  console.error(`${fileName}:${loc?.line ?? 0}:${loc?.column ?? 0}: ${error.message}`);
  process.exit(1);
}
