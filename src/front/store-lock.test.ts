import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type LockRecord, StoreLock } from "./store-lock.ts";

const RECORD: LockRecord = {
  store: "file:/disk.img",
  pid: 7,
  started: 8,
  device: "disk",
  epoch: 9,
  since: "2026-01-02T03:04:05.678Z",
  host: "here",
  driver: { pid: 10, started: 11 },
};
const RACERS = 4;
const ROUNDS = 200;

test("an exclusive lock keeps others out, of the same process too, and names its holder", (t) => {
  const path = lockPath(t);
  const lock = taken(path, false);
  lock.write(RECORD);
  for (const shared of [false, true]) assert.deepEqual(StoreLock.take(path, shared), { holder: RECORD });
  lock.release(true);
  taken(path, false).release(true);
});

test("shared locks go together, and keep an exclusive one out until the last is given back", (t) => {
  const path = lockPath(t);
  const [first, second] = [taken(path, true), taken(path, true)];
  first.release(true);
  assert.equal(existsSync(path), true);
  assert.ok("holder" in StoreLock.take(path, false));
  second.release(true);
  assert.equal(existsSync(path), false);
});

test("what is given back orderly leaves no file, and what is not tells who held it", (t) => {
  const path = lockPath(t);
  const lock = taken(path, false);
  lock.write(RECORD);
  lock.release(false);
  const next = taken(path, false);
  assert.deepEqual(next.before, RECORD);
  next.release(true);
  assert.equal(existsSync(path), false);
});

test("a record that is shorter than the one before leaves nothing of it", (t) => {
  const path = lockPath(t);
  const lock = taken(path, false);
  const { driver: _driver, ...short } = { ...RECORD, device: "d" };
  lock.write({ ...RECORD, store: "\u0001".repeat(5000), device: "\ud800".repeat(5000) });
  lock.write(short);
  assert.deepEqual(StoreLock.take(path, false), { holder: short });
  lock.release(true);
});

for (const [what, text] of [
  ["no JSON", "{{{"],
  ["something else", '["a list"]'],
  ["a torn record", JSON.stringify(RECORD).slice(0, -20)],
  ["a number that is none", JSON.stringify({ ...RECORD, epoch: "9" })],
  ["no process", JSON.stringify({ ...RECORD, pid: -1 })],
  ["a day that never was", JSON.stringify({ ...RECORD, since: "yesterday" })],
  ["zeroes", "\0".repeat(9000)],
] as const) {
  test(`a lock file with ${what} in it is locked, and tells nothing`, (t) => {
    const path = lockPath(t);
    writeFileSync(path, text);
    const lock = taken(path, false);
    assert.equal(lock.before, undefined);
    lock.release(true);
  });
}

test("of processes that take and give back at once, one at a time has the lock", { timeout: 60_000 }, async (t) => {
  const path = lockPath(t);
  // Who has the lock makes a file that must not be there, and removes it.
  const script = `
    const { StoreLock } = await import(${JSON.stringify(new URL("./store-lock.ts", import.meta.url).href)});
    const { closeSync, openSync, unlinkSync } = await import("node:fs");
    for (let taken = 0; taken < ${ROUNDS}; ) {
      const lock = StoreLock.take(process.argv[1], false);
      if (!(lock instanceof StoreLock)) continue;
      closeSync(openSync(process.argv[1] + ".owner", "wx"));
      unlinkSync(process.argv[1] + ".owner");
      lock.release(true);
      taken++;
    }`;
  const racers = Array.from({ length: RACERS }, () =>
    spawn(process.execPath, ["--input-type=module", "--eval", script, path], { stdio: ["ignore", "ignore", "pipe"] }),
  );
  const ends = await Promise.all(
    racers.map(async (racer) => {
      let said = "";
      racer.stderr?.on("data", (text) => {
        said += text;
      });
      const [code] = await once(racer, "close");
      return code === 0 ? "well" : said;
    }),
  );
  assert.deepEqual(ends, Array(RACERS).fill("well"));
  assert.equal(existsSync(path), false);
});

test("only its user may read the file", (t) => {
  const path = lockPath(t);
  const lock = taken(path, false);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  lock.release(true);
});

function lockPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skink-lock-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "store.lock");
}

function taken(path: string, shared: boolean): StoreLock {
  const lock = StoreLock.take(path, shared);
  assert.ok(lock instanceof StoreLock, "the lock is somebody else's");
  return lock;
}
