import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { realClock } from "../front/clock.ts";
import { MIN_LOG_BYTES, openLog } from "../home/disk.ts";
import { STORE } from "../home/log/testing-front.ts";
import { newPiece } from "../shadow/shadow.ts";
import { HeapMemory, SECTOR, SILENT_LOG } from "../shadow/testing.ts";

const SKINK = fileURLToPath(new URL("../../bin/skink.js", import.meta.url));

function inspect(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [SKINK, "log", "inspect", ...args], { encoding: "utf8" });
}

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "skink-log-"));
  try {
    await run(join(folder, "disk.log"));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** A log with a zero of four sectors, and a trim over half of that. */
async function openWithRecords(path: string) {
  const memory = new HeapMemory(256 << 20);
  const opened = await openLog({
    path,
    size: MIN_LOG_BYTES,
    memory,
    limits: { pieces: 8 },
    clock: realClock,
    log: SILENT_LOG,
  });
  const { home } = opened;
  home.remember(STORE);
  const usual = { offset: 0, mayTrim: false, payload: undefined, start: 0, note: 0 };
  home.put(newPiece({ ...usual, length: 4 * SECTOR, kind: "zero" }));
  home.put(newPiece({ ...usual, length: 2 * SECTOR, kind: "trim" }));
  await new Promise((resolve) => home.sync(resolve));
  return opened;
}

test("inspect shows a log that a front has open, and when it was left", async () => {
  await inFolder(async (path) => {
    const opened = await openWithRecords(path);
    const held = JSON.parse(inspect(path, "--json").stdout);
    assert.equal(held.held, true);
    await opened.close();
    const { status, stdout } = inspect(path, "--json");
    assert.equal(status, 0);
    const report = JSON.parse(stdout);
    assert.deepEqual([report.held, report.verdict, report.endCase, report.path], [false, "good", "end", path]);
    assert.deepEqual(report.store, STORE);
    const records = report.records.map(({ kind, length, live }: Record<string, unknown>) => [kind, length, live]);
    assert.deepEqual(records, [
      ["zero", 4 * SECTOR, 2 * SECTOR],
      ["trim", 2 * SECTOR, 2 * SECTOR],
    ]);
    const text = inspect(path).stdout;
    assert.match(text, /disk\.log: 69M, good \((both|one)-good, unwritten, end\)/);
    assert.match(text, /^1 +8192 +zero +0 +2048 +1024 bytes live$/m);
    assert.match(text, /^2 +8704 +trim +0 +1024 +live$/m);
  });
});

test("inspect shows a damaged log, names the case, and exits with 1", async () => {
  await inFolder(async (path) => {
    await (await openWithRecords(path)).close();
    const fd = fs.openSync(path, "r+");
    fs.writeSync(fd, Buffer.alloc(1, 0xff), 0, 1, 8704 + 80);
    fs.closeSync(fd);
    const before = fs.readFileSync(path);
    const { status, stdout } = inspect(path);
    assert.equal(status, 1);
    assert.match(
      stdout,
      /damaged \((both|one)-good, torn-header, gap\)\n {2}the record 2 at byte 8704 .*was durable once/,
    );
    assert.match(stdout, /^1 +8192 +zero /m);
    assert.ok(fs.readFileSync(path).equals(before), "it only reads");
  });
});

test("inspect says of what is no log that it is none, and of what isn't there why", async () => {
  await inFolder(async (path) => {
    fs.writeFileSync(path, "something else");
    const foreign = inspect(path);
    assert.deepEqual([foreign.status, /no log of Skink's/.test(foreign.stdout)], [1, true]);
    const missing = inspect(`${path}.not`);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /^Cannot inspect the log .*: there is no such file, a log was wanted\n$/);
    assert.equal(inspect().status, 2);
    assert.match(inspect("--help").stdout, /Exit codes: 0 the log is good, 1 it is damaged or no log/);
  });
});
