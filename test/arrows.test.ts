/** The arrows between the rooms of src/, held by reading what each file imports. */
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** Which rooms, or files, a room may use directly; what these may use, it may use too. The parts of nbd are rooms, too. */
const ARROWS: Record<string, readonly string[]> = {
  block: [],
  shadow: ["block"],
  supervisor: ["shadow"],
  "nbd/wire": ["block"],
  "nbd/tls": ["nbd/uri.ts", "block"],
  "nbd/client": ["nbd/wire", "nbd/tls"],
  "nbd/server": ["nbd/wire", "nbd/tls", "shadow"],
  "nbd/fuzz": ["nbd/client", "nbd/server", "terminal"],
  // The client's front door, and what URIs mean.
  nbd: ["nbd/client"],
  os: ["block"],
  link: ["os", "nbd/client", "shadow"],
  drivers: ["block", "os", "nbd/client"],
  layers: ["block", "os", "nbd/client"],
  "home/shm": ["shadow"],
  "home/log": ["shadow"],
  home: ["home/shm", "home/log", "os", "shadow"],
  load: ["nbd/client", "block"],
  crashes: [
    "record",
    "nbd/server",
    "nbd/uri.ts",
    "link/guardian.ts",
    "link/process-family.ts",
    "link/process-group.ts",
    "link/process-mark.ts",
    "os",
  ],
  service: ["os"],
  // What starts a front and outlives it; nothing uses it.
  guard: ["service"],
  host: ["link", "drivers", "layers", "os"],
  front: ["nbd/server", "supervisor", "link", "home", "service"],
  // A program's line of progress, and its command line; for the scripts, too.
  terminal: [],
  cli: ["front", "crashes", "load", "record", "terminal", "torture"],
  torture: ["front", "load"],
  record: ["front/tap.ts", "shadow", "os"],
  // src/index.ts, what the package exports.
  ".": ["front"],
  sim: ["nbd/server", "supervisor", "home/shm", "home/log", "link/arena.ts", "terminal"],
};

/** Rooms where everything comes in by method call and goes out through a port. */
const PURE_ROOMS = ["shadow", "supervisor", "home/shm", "home/log"];
/** What neither does I/O nor looks at a clock: assertions, and a checksum, which is a function of bytes, native as it is. */
const PURE_IMPORTS = ["node:assert", "@node-rs/crc32"];
const IMPURE =
  /\bPromise\b|\basync\b|\bawait\b|\b(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b|\bDate\b|\bMath\.random\b|\bperformance\.|\bprocess\.|\bcrypto\./;

interface SourceFile {
  /** Relative to src/. */
  readonly path: string;
  readonly room: string;
  /** Without comments. */
  readonly code: string;
  /** Specifiers, as written. */
  readonly imports: readonly string[];
}

const files = globSync("**/*.ts", { cwd: SRC }).map(readSource);
const product = files.filter((file) => !isTestCode(file.path));

test("every room is on the map", () => {
  for (const { path, room } of files) assert.ok(room in ARROWS, `${path} is in no room of the map`);
});

test("imports follow the arrows between the rooms", () => {
  const wrong = product.flatMap((file) =>
    targetsOf(file)
      .filter((target) => roomOf(target) !== file.room && !mayUse(file.room, target))
      .map((target) => `${file.path} uses ${target}`),
  );
  assert.deepEqual(wrong, []);
});

for (const [what, room] of [
  ["the simulator", "sim"],
  ["the fuzzer", "nbd/fuzz"],
] as const) {
  test(`nothing uses ${what}`, () => {
    const wrong = files.filter(
      (file) => file.room !== room && targetsOf(file).some((target) => roomOf(target) === room),
    );
    assert.deepEqual(
      wrong.map((file) => file.path),
      [],
    );
  });
}

test("foreign functions are called in one room only", () => {
  const wrong = files.filter((file) => file.room !== "os" && file.imports.includes("koffi"));
  assert.deepEqual(
    wrong.map((file) => file.path),
    [],
  );
});

test("the core rooms import nothing that does I/O or tells the time", () => {
  const core = product.filter((file) => [...PURE_ROOMS, "block"].includes(file.room));
  const wrong = core.flatMap((file) =>
    file.imports
      .filter((specifier) => !specifier.startsWith(".") && !PURE_IMPORTS.includes(specifier))
      .map((specifier) => `${file.path} imports ${specifier}`),
  );
  assert.deepEqual(wrong, []);
});

test("the core rooms are synchronous and leave time and chance to their ports", () => {
  const core = product.filter((file) => PURE_ROOMS.includes(file.room) || sessionCore().has(file.path));
  const wrong = core.flatMap((file) =>
    file.code
      .split("\n")
      .filter((line) => IMPURE.test(line))
      .map((line) => `${file.path}: ${line.trim()}`),
  );
  assert.deepEqual(wrong, []);
});

/** The NBD session and what it is made of, as against the sockets around it. */
function sessionCore(): Set<string> {
  const core = new Set<string>();
  const add = (path: string): void => {
    const file = product.find((other) => other.path === path);
    if (file === undefined || !path.startsWith("nbd/") || core.has(path)) return;
    core.add(path);
    for (const target of targetsOf(file)) add(target);
  };
  add("nbd/server/session.ts");
  return core;
}

function mayUse(room: string, target: string, seen = new Set<string>()): boolean {
  for (const arrow of ARROWS[room] ?? []) {
    if (arrow === target || arrow === roomOf(target)) return true;
    if (seen.has(arrow)) continue;
    seen.add(arrow);
    if (mayUse(arrow, target, seen)) return true;
  }
  return false;
}

function targetsOf(file: SourceFile): string[] {
  return file.imports
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => relative(SRC, join(SRC, dirname(file.path), specifier)));
}

function readSource(path: string): SourceFile {
  const code = withoutComments(readFileSync(join(SRC, path), "utf8"));
  const imports = [...code.matchAll(/\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g)];
  return { path, room: roomOf(path), code, imports: imports.map((match) => match[1] ?? match[2] ?? "") };
}

/** Comments may speak of promises. Good enough for our own sources: no string of theirs contains a comment's start alone. */
function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[\s;{}(,])\/\/.*$/gm, "$1");
}

function roomOf(path: string): string {
  const [room = ".", part, file] = path.split("/");
  if (part === undefined) return ".";
  const inner = `${room}/${part}`;
  return file !== undefined && inner in ARROWS ? inner : room;
}

/** Tests and what only they use may reach across. The build leaves out the same. */
function isTestCode(path: string): boolean {
  return /\.test\.ts$|(^|\/)(testing|fake-|compliance)/.test(path);
}
