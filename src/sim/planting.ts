import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutation } from "./mutations.ts";

const SOURCES = fileURLToPath(new URL("..", import.meta.url));
const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
/** The rooms that a simulated world is made of, and what the simulator speaks by. */
const ROOMS = ["block", "shadow", "supervisor", "nbd", "home", "sim", "terminal"];

/** Runs the simulator of a copy of the sources with a fault in it. */
export interface Planted {
  readonly folder: string;
  simulate(...args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }>;
}

/** Makes a copy of the sources with the fault in it, for as long as `use` takes. */
export async function withPlanted<T>(mutation: Mutation, use: (planted: Planted) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "skink-mutation-"));
  try {
    await plant(mutation, folder);
    return await use({ folder, simulate: (...args) => simulate(folder, args) });
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function plant({ file, find, replace }: Mutation, folder: string): Promise<void> {
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await symlink(MODULES, join(folder, "node_modules"));
  for (const room of ROOMS) {
    const options = { recursive: true, filter: (path: string) => !path.endsWith(".test.ts") };
    await cp(join(SOURCES, room), join(folder, room), options);
  }
  const path = join(folder, file);
  const parts = (await readFile(path, "utf8")).split(find);
  assert.equal(parts.length, 2, `the patch must match ${file} once, it matches ${parts.length - 1} times`);
  await writeFile(path, parts.join(replace));
}

async function simulate(folder: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [join(folder, "sim/main.ts"), ...args]);
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  const code = await new Promise<number | null>((done, fail) => {
    child.on("error", fail);
    child.on("close", done);
  });
  return { code, output };
}
