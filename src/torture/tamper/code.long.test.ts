/** Faults of the code: what is loaded, by whom, and when it counts as struck. */
import { strict as assert } from "node:assert";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { CodeFault, Persistence } from "../plan.ts";
import { BLOCK_BYTES, block, newFolder, scene } from "./testing.ts";

const LIMIT = { timeout: 60_000 };

/** Two files with types, of which the one imports the other by its relative path; the other is reached by writes alone. */
const DRIVER = `
import { defineDriver } from "skink/driver";
import { put, type Medium } from "./medium.ts";

export default defineDriver({
  open({ size = "1048576" }: Record<string, string>, context) {
    const medium: Medium = { bytes: context.keep("blocks", Number(size)) };
    return {
      size: Number(size),
      read: (offset: number, into: Uint8Array) => into.set(medium.bytes.subarray(offset, offset + into.byteLength)),
      write: (offset: number, from: Uint8Array) => put(medium, offset, from),
      flush() {},
    };
  },
});
`;
const MEDIUM = `
export interface Medium { readonly bytes: Uint8Array }

export function put(medium: Medium, offset: number, from: Uint8Array): void {
  if (from.byteLength === 0) return;
  medium.bytes.set(from, offset as number);
}
`;

/** All blocks hold what a thread says. */
const THREADED = `
import { once } from "node:events";
import { Worker } from "node:worker_threads";

export default {
  async open() {
    const thread = new Worker(new URL("./thread.ts", import.meta.url), { workerData: 7 });
    const [value] = await once(thread, "message");
    return { size: 1048576, read: (_: number, into: Uint8Array) => void into.fill(value) };
  },
};
`;

const THREAD = `
import { parentPort, workerData as data } from "node:worker_threads";
parentPort?.postMessage((data as number) + 1);
`;

test("changed code is in every incarnation, types and all, and has struck when it is reached", LIMIT, async (t) => {
  const { path, fault } = driver(t, "offset as number", "(offset ^ 4096) as number", "persistent");
  const { client, struck, liveAfter, kill } = await scene(t, path, fault);
  kill();
  await liveAfter(1);
  assert.deepEqual(await client.read(0, BLOCK_BYTES), block(0));
  assert.equal(struck().struck, false);
  const before = Date.now();
  await client.write(0, block(7));
  await client.flush();
  const [atMs = 0] = struck().timesMs;
  assert.ok(atMs >= before && atMs <= Date.now());
  assert.deepEqual(await client.read(0, BLOCK_BYTES), block(0));
  assert.deepEqual(await client.read(BLOCK_BYTES, BLOCK_BYTES), block(7));
});

test("a transient one is gone with its incarnation, even where that was only to open", LIMIT, async (t) => {
  const { path, fault } = driver(t, "from.byteLength === 0", "process.exit(7) === 0", "transient");
  const { client, faults, struck } = await scene(t, path, fault);
  await client.write(0, block(7));
  await client.flush();
  assert.deepEqual(await client.read(0, BLOCK_BYTES), block(7));
  assert.deepEqual(faults(), { exit: 1 });
  assert.equal(struck().struck, true);
});

test(
  "a module that runs in a thread of its own is changed there, and has struck when it is reached",
  LIMIT,
  async (t) => {
    const folder = newFolder(t);
    const [path, thread] = [join(folder, "driver.ts"), join(folder, "thread.ts")];
    writeFileSync(path, THREADED);
    writeFileSync(thread, THREAD);
    const { client, struck } = await scene(t, path, faultIn(thread, THREAD, "+ 1", "+ 2", "persistent"));
    assert.deepEqual(await client.read(0, BLOCK_BYTES), block(9));
    assert.equal(struck().struck, true);
  },
);

test("code that is never reached has not struck", LIMIT, async (t) => {
  const { path, fault } = driver(t, "return;", "throw new Error();", "persistent");
  const { client, struck } = await scene(t, path, fault);
  await client.write(0, block(7));
  assert.equal(struck().struck, false);
});

test("code that no driver can be loaded from is found when it opens", LIMIT, async (t) => {
  const { path, fault } = driver(t, "export function put", "export function push", "persistent");
  await assert.rejects(scene(t, path, fault), /does not provide an export named 'put'/);
});

test("a driver is changed that is known by a symbolic link", LIMIT, async (t) => {
  const { path, fault } = driver(t, "Number(size),", "65536,", "persistent", "driver.ts");
  const link = join(newFolder(t), "link.ts");
  symlinkSync(path, link);
  const { client, struck } = await scene(t, link, { ...fault, file: pathToFileURL(link).href });
  assert.equal(client.size, 65536);
  assert.equal(struck().struck, true);
});

/** The driver in a folder, and a fault that has `replacement` where `original` is. */
function driver(
  t: Parameters<typeof newFolder>[0],
  original: string,
  replacement: string,
  persistence: Persistence,
  name = "medium.ts",
): { path: string; fault: CodeFault } {
  const folder = newFolder(t);
  const path = join(folder, "driver.ts");
  writeFileSync(path, DRIVER);
  writeFileSync(join(folder, "medium.ts"), MEDIUM);
  return {
    path,
    fault: faultIn(join(folder, name), name === "medium.ts" ? MEDIUM : DRIVER, original, replacement, persistence),
  };
}

function faultIn(
  path: string,
  text: string,
  original: string,
  replacement: string,
  persistence: Persistence,
): CodeFault {
  const start = text.indexOf(original);
  assert.ok(start > 0);
  return {
    tier: "code",
    kind: "test",
    persistence,
    file: pathToFileURL(path).href,
    start,
    end: start + original.length,
    replacement,
    line: 1,
    description: "",
  };
}
