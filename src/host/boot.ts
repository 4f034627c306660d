/*
 * The first code of a driver host. The front hands over this file's text as it stands, before anything could strip
 * types: so it is plain JavaScript, without any type syntax, and imports Node's own modules only.
 */
import { closeSync, fstatSync, readFileSync, readSync, statSync } from "node:fs";
import { registerHooks, stripTypeScriptTypes } from "node:module";

const BOOT_FD = 5;
const CODE_FD = 6;
const FOREIGN_URL = "skink:foreign";

const content = Buffer.alloc(fstatSync(BOOT_FD).size);
readSync(BOOT_FD, content, 0, content.byteLength, 0);
const boot = JSON.parse(content.toString());
// Entries [url, modified (ms), size (bytes), JavaScript]: stripping takes longer than all the rest of a start.
const given = new Map();
const used = new Map();
let learned = false;
// Of the files of the driver: [modified, size] when they were read, by URL. Those of the host are the front's as well.
const stamps = new Map();
let driverLoads = false;

if (boot.codeBytes > 0) {
  try {
    const code = Buffer.alloc(boot.codeBytes);
    readSync(CODE_FD, code, 0, code.byteLength, 0);
    for (const entry of JSON.parse(code.toString())) given.set(entry[0], entry);
  } catch {
    given.clear();
  }
}
closeSync(BOOT_FD);
closeSync(CODE_FD);

const home = new URL("..", boot.main).href;

registerHooks({
  resolve(specifier, context, nextResolve) {
    const parent = context.parentURL;
    // A driver may lie anywhere on the disk and still finds the package.
    if (specifier === "skink" || specifier.startsWith("skink/"))
      return nextResolve(specifier, { ...context, parentURL: boot.main });
    if (parent !== undefined && specifier.startsWith(".")) {
      const url = new URL(specifier, parent).href;
      if (given.has(url)) return { url, format: "module", shortCircuit: true };
    }
    if (specifier === "koffi" && boot.foreign !== "" && parent?.startsWith(home))
      return { url: FOREIGN_URL, format: "module", shortCircuit: true };
    return nextResolve(specifier, context);
  },
  load(url, context, nextLoad) {
    if (url === FOREIGN_URL) {
      const source = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(boot.foreign)}); export default m.exports;`;
      return { format: "module", source, shortCircuit: true };
    }
    if (!url.startsWith("file:")) return nextLoad(url, context);
    const { mtimeMs, size } = statSync(new URL(url));
    if (driverLoads) stamps.set(url, [mtimeMs, size]);
    if (!/\.m?ts$/.test(url)) return nextLoad(url, context);
    let entry = given.get(url);
    if (entry === undefined || entry[1] !== mtimeMs || entry[2] !== size) {
      entry = [url, mtimeMs, size, stripTypeScriptTypes(readFileSync(new URL(url), "utf8"))];
      learned = true;
    }
    used.set(url, entry);
    return { format: "module", source: entry[3], shortCircuit: true };
  },
});

function changed() {
  for (const [url, [mtimeMs, size]] of stamps) {
    const now = statSync(new URL(url), { throwIfNoEntry: false });
    if (now === undefined || now.mtimeMs !== mtimeMs || now.size !== size) return true;
  }
  return false;
}

const { run } = await import(boot.main);
driverLoads = true;
await run(boot, { changed, left: () => (learned ? JSON.stringify([...used.values()]) : undefined) });
