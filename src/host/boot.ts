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
// Entries [url, modified (ms), size (bytes), JavaScript] by their URL: stripping takes longer than all the rest of a
// start. Those of a pinned driver are taken as they are, the others where their files have not changed since.
const given = new Map();
const used = new Map();
let learned = false;
// Where imports led: URLs by "importer specifier". A pinned driver's lead there again, whatever links and folders are now.
const givenPlaces = new Map();
const places = new Map();
// Of the files of the driver: [modified, size] when they were read, by URL. Those of the host are the front's as well.
const stamps = new Map();
let driverLoads = false;

if (boot.codeBytes > 0) {
  try {
    const code = Buffer.alloc(boot.codeBytes);
    readSync(CODE_FD, code, 0, code.byteLength, 0);
    const { modules = [], places = [] } = JSON.parse(code.toString());
    for (const entry of modules) given.set(entry[0], entry);
    for (const [key, url] of places) givenPlaces.set(key, url);
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
    let entry = given.get(url);
    if (entry === undefined || !boot.pinned) {
      const { mtimeMs, size } = statSync(new URL(url));
      if (driverLoads) stamps.set(url, [mtimeMs, size]);
      if (entry === undefined || entry[1] !== mtimeMs || entry[2] !== size) {
        const isTyped = /\.m?ts$/.test(url);
        if (!isTyped) {
          const loaded = nextLoad(url, context);
          // Packages that are installed are not what is edited in place, and may be large.
          if (loaded.format !== "module" || !/\.m?js$/.test(url) || url.includes("/node_modules/")) return loaded;
        }
        const text = readFileSync(new URL(url), "utf8");
        entry = [url, mtimeMs, size, isTyped ? stripTypeScriptTypes(text) : text];
        learned = true;
      }
    }
    used.set(url, entry);
    return { format: "module", source: entry[3], shortCircuit: true };
  },
});

// These are asked before those above.
registerHooks({
  resolve(specifier, context, nextResolve) {
    const key = `${context.parentURL} ${specifier}`;
    const before = givenPlaces.get(key);
    const found =
      boot.pinned && given.has(before)
        ? { url: before, format: "module", shortCircuit: true }
        : nextResolve(specifier, context);
    places.set(key, found.url);
    return found;
  },
});

function changed() {
  // What a pinned driver is has been settled.
  if (boot.pinned) return false;
  for (const [url, [mtimeMs, size]] of stamps) {
    const now = statSync(new URL(url), { throwIfNoEntry: false });
    if (now === undefined || now.mtimeMs !== mtimeMs || now.size !== size) return true;
  }
  return false;
}

// By how much was loaded. Asked again, it costs nothing where nothing has come in since.
const texts = new Map();

function left() {
  const size = used.size + places.size;
  if (!texts.has(size)) texts.set(size, textOfLeft());
  return texts.get(size);
}

function textOfLeft() {
  const ways = [...places].filter(([, url]) => used.has(url));
  if (!learned && ways.every(([key, url]) => givenPlaces.get(key) === url)) return undefined;
  // The next host of a pinned driver may need what this one did not.
  const modules = boot.pinned ? new Map([...given, ...used]) : used;
  const all = boot.pinned ? new Map([...givenPlaces, ...ways]) : ways;
  return JSON.stringify({ modules: [...modules.values()], places: [...all] });
}

const { run } = await import(boot.main);
driverLoads = true;
await run(boot, { changed, left });
