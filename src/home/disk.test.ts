import { strict as assert } from "node:assert";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { slotBytes } from "../block/memory.ts";
import { realClock } from "../front/clock.ts";
import { newPiece } from "../shadow/shadow.ts";
import { HeapMemory, SECTOR, SILENT_LOG } from "../shadow/testing.ts";
import { type LogOptions, MIN_LOG_BYTES, type OpenedLog, openLog } from "./disk.ts";
import { inspect } from "./log/inspection.ts";
import type { LogRun } from "./log/take-up.ts";
import { STORE } from "./log/testing-front.ts";
import { OpenLogFile } from "./log-file.ts";

const MEMORY_BYTES = 256 << 20;

async function inFolder(
  run: (path: string, open: (changes?: Partial<LogOptions>) => Promise<OpenedLog>) => Promise<void>,
) {
  const folder = fs.mkdtempSync(join(tmpdir(), "skink-log-"));
  const path = join(folder, "disk.log");
  const memory = new HeapMemory(MEMORY_BYTES);
  const usual = { path, size: MIN_LOG_BYTES, memory, limits: { pieces: 1000 }, clock: realClock, log: SILENT_LOG };
  try {
    await run(path, (changes) => openLog({ ...usual, ...changes }));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

async function write(
  { home }: OpenedLog,
  memory: HeapMemory,
  sector: number,
  sectors: number,
  value: number,
): Promise<void> {
  const payload = memory.allocate(sectors * SECTOR);
  assert(payload !== undefined);
  slotBytes(payload, 0, payload.length).fill(value);
  const [offset, length] = [sector * SECTOR, sectors * SECTOR];
  home.put(newPiece({ offset, length, kind: "write", mayTrim: false, payload, start: 0, note: 0 }));
  const failed = await new Promise<boolean>((resolve) => home.sync(resolve));
  assert.equal(failed, false);
}

test("a log is created with all its room, and found again with what is in it", async () => {
  await inFolder(async (path, open) => {
    const memory = new HeapMemory(MEMORY_BYTES);
    const first = await open({ memory });
    assert.deepEqual(first.remains, { store: undefined, pieces: [] });
    const { size, blocks, mode } = fs.statSync(path);
    assert.equal(size, MIN_LOG_BYTES);
    assert.ok(blocks * 512 >= MIN_LOG_BYTES, "no write can fail for want of room");
    assert.equal(mode & 0o777, 0o600);
    first.home.remember(STORE);
    await write(first, memory, 8, 16, 0xa5);
    await write(first, memory, 2048, 2048, 0x5a);
    await first.close();
    const second = await open();
    assert.deepEqual(second.remains.store, STORE);
    const found = second.remains.pieces.map(({ offset, length, payload, start }) => {
      assert(payload !== undefined);
      const bytes = slotBytes(payload, start, length);
      assert.ok(bytes.every((byte) => byte === bytes[0]));
      return [offset / SECTOR, length / SECTOR, bytes[0]];
    });
    assert.deepEqual([found[0], ...new Set(found.slice(1).map(([, , value]) => value))], [[8, 16, 0xa5], 0x5a]);
    assert.equal(
      found.reduce((sum, [, sectors = 0]) => sum + sectors, 0),
      16 + 2048,
    );
    await second.close();
  });
});

test("a log that can't be written says which of its runs is spent, is not empty at its end, and that run is passed over", async (t) => {
  await inFolder(async (_path, open) => {
    const memory = new HeapMemory(MEMORY_BYTES);
    const marks: (LogRun | undefined)[] = [];
    const log = await open({ memory, mark: (spent) => void marks.push(spent) });
    log.home.remember(STORE);
    await write(log, memory, 8, 16, 1);
    const failed = new Promise<string>((resolve) => log.home.observe({ room() {}, failed: resolve }));
    const fails = (...call: unknown[]) => setImmediate(call.at(-1) as (error: Error) => void, new Error("EIO"));
    const broken = [t.mock.method(fs, "fdatasync", fails), t.mock.method(fs, "writev", fails)];
    await assert.rejects(write(log, memory, 8, 16, 2));
    assert.match(await failed, /can't be written any more: a write failed: EIO$/);
    log.home.spent?.();
    assert.equal(await log.close(), false);
    const [inUse, spent] = marks;
    assert.deepEqual([inUse, spent?.run, marks.length], [undefined, 1, 2]);
    for (const { mock } of broken) mock.restore();
    const stale = await open();
    assert.equal(stale.remains.pieces.length, 1);
    assert.deepEqual(stale.oldest, spent);
    assert.equal(await stale.close(), false);
    const next = await open({ spent: [{ id: "abc", run: 9 }, spent as LogRun] });
    assert.deepEqual([next.oldest, next.remains.pieces], [undefined, []]);
    assert.equal(await next.close(), true);
  });
});

test("a log that could not be made leaves no file behind", async () => {
  await inFolder(async (path, open) => {
    await assert.rejects(open({ memory: new HeapMemory(1 << 20) }), { code: "log-size" });
    assert.equal(fs.existsSync(path), false);
    fs.writeFileSync(path, "");
    await assert.rejects(open({ memory: new HeapMemory(1 << 20) }), { code: "log-size" });
    assert.equal(fs.existsSync(path), true);
  });
});

test("two fronts don't use one log, and the error names who has it", async () => {
  await inFolder(async (path, open) => {
    const first = await open();
    first.home.remember(STORE);
    await new Promise((resolve) => first.home.sync(resolve));
    await write(first, new HeapMemory(), 0, 1, 1);
    const wanted = `Cannot open the log ${path}: another front (pid ${process.pid}, when it was last written) has it open`;
    await assert.rejects(open(), (error: Error & { code: string }) => {
      return error.code === "log-locked" && error.message.startsWith(wanted);
    });
    await first.close();
    await (await open()).close();
  });
});

test("a damaged log is refused, in one line that says where and how to look", async () => {
  await inFolder(async (path, open) => {
    const memory = new HeapMemory(MEMORY_BYTES);
    const log = await open({ memory });
    log.home.remember(STORE);
    for (let i = 0; i < 3; i++) await write(log, memory, i, 1, i);
    await log.close();
    const fd = fs.openSync(path, "r+");
    fs.writeSync(fd, Buffer.alloc(1, 0xff), 0, 1, 8192 + 1024 + 600);
    await assert.rejects(open(), {
      code: "log-damaged",
      message:
        `Cannot take up the log ${path}: the record 2 at byte 9216 is a record whose data is not what it was (torn-data); ` +
        `it was durable once, and is not there any more (gap); "skink log inspect ${path}" shows what stands in it`,
    });
    const found = inspect(new OpenLogFile(fd, fs.fstatSync(fd).size));
    fs.closeSync(fd);
    assert.equal(found.verdict, "damaged");
    assert.deepEqual(
      found.records.map(({ sequence, live }) => [sequence, live]),
      [[1, SECTOR]],
    );
  });
});

test("a file of somebody else's is not made a log of, nor changed", async () => {
  await inFolder(async (path, open) => {
    for (const [size, at] of [
      [100, 0],
      [200_000, 0],
      [200_000, 5000],
      [200_000, 199_000],
      [2 * MIN_LOG_BYTES, MIN_LOG_BYTES - 100],
    ] as const) {
      const bytes = Buffer.alloc(size);
      bytes.write("mine", at);
      fs.writeFileSync(path, bytes);
      await assert.rejects(open(), { code: "log-damaged" });
      assert.deepEqual(fs.readFileSync(path), bytes);
      fs.rmSync(path);
    }
  });
});

test("whoever died while it made the log leaves nothing that is in the way", async () => {
  await inFolder(async (path, open) => {
    for (const bytes of [0, 100, 8192, 1 << 20]) {
      fs.writeFileSync(path, Buffer.alloc(bytes));
      await (await open()).close();
      assert.equal(fs.statSync(path).size, MIN_LOG_BYTES);
      fs.rmSync(path);
    }
  });
});

test("a size that is too small, or too large for the memory, is refused", async () => {
  await inFolder(async (path, open) => {
    await assert.rejects(open({ size: 8 << 20 }), { code: "log-size", message: /at least 69M .* was wanted$/ });
    const memory = new HeapMemory(MIN_LOG_BYTES / 2 - 1);
    await assert.rejects(open({ memory }), {
      code: "log-size",
      message: /a memory of writes with at least half of that/,
    });
    await (await open()).close();
    const warnings: string[] = [];
    const larger = {
      size: 2 * MIN_LOG_BYTES,
      log: { ...SILENT_LOG, warn: (line: string) => void warnings.push(line) },
    };
    await (await open(larger)).close();
    assert.deepEqual(warnings, [`the log ${path} has 69M and keeps it, though 138M is asked for`]);
  });
});

test("a path where no log can be is an error of one line", async () => {
  await inFolder(async (path, open) => {
    await assert.rejects(open({ path: `${path}/no/such` }), {
      code: "log-file",
      message: /^Cannot open the log .*ENOENT/,
    });
    fs.mkdirSync(path);
    await assert.rejects(open(), { code: "log-file", message: /^Cannot open the log .*EISDIR/ });
  });
});
