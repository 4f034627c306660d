/**
 * npm run build [-- --out FOLDER]: the publishable package in dist/: JavaScript and declarations of src/ and examples/,
 * the command, and a package file of its own. Tests and the simulator stay out.
 *
 *   dist/package.json  dist/LICENSE
 *   dist/README.md  dist/docs/  dist/bench/results/*.svg: what the README links to, too
 *   dist/packaging/                       units of systemd
 *   dist/bin/skink.js                     the command
 *   dist/src/**\/*.js, *.d.ts             the same folders as in the checkout
 *   dist/examples/*.js                    the drivers that the demo uses
 */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The checkout says so by its dependency on Node itself: npm may well run on an older one there. */
const ENGINES = { node: ">=24" };
/** What goes in as it is: what people read, and the pictures in it. */
const COPIED = [
  "LICENSE",
  "README.md",
  "docs",
  "packaging",
  "bench/results/compare.svg",
  "bench/results/kill-curve.svg",
];
const ROOT = fileURLToPath(new URL("..", import.meta.url));

const { values } = parseArgs({ options: { out: { type: "string", default: join(ROOT, "dist") } } });
const out = resolve(values.out);

rmSync(out, { recursive: true, force: true });
compile();
writePackageFile();
writeCommand();
for (const path of COPIED) cpSync(join(ROOT, path), join(out, path), { recursive: true });

function compile(): void {
  const arguments_ = ["-p", join(ROOT, "scripts/tsconfig.build.json"), "--outDir", out];
  const { status } = spawnSync(join(ROOT, "node_modules/.bin/tsc"), arguments_, { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

/** What a user of the package needs of the checkout's package file, with the names resolving to the JavaScript. */
function writePackageFile(): void {
  const { name, version, description, license, type, os, bin, exports, dependencies } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  ) as { [field: string]: unknown; exports: Record<string, string> };
  const built = Object.fromEntries(Object.entries(exports).map(([key, source]) => [key, builtExport(source)]));
  const content = {
    name,
    version,
    description,
    license,
    type,
    engines: ENGINES,
    os,
    bin,
    exports: built,
    dependencies,
  };
  writeFileSync(join(out, "package.json"), `${JSON.stringify(content, null, 2)}\n`);
}

function builtExport(source: string): { types: string; default: string } {
  return { types: source.replace(/\.ts$/, ".d.ts"), default: source.replace(/\.ts$/, ".js") };
}

function writeCommand(): void {
  const to = join(out, "bin/skink.js");
  mkdirSync(dirname(to), { recursive: true });
  const command = readFileSync(join(ROOT, "bin/skink.js"), "utf8");
  writeFileSync(to, command.replaceAll(/"(\.\.\/src\/[^"]+)\.ts"/g, '"$1.js"'));
  chmodSync(to, 0o755);
}
