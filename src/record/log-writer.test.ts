import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogFile } from "./log-file.ts";
import { BUFFER_LIMIT_BYTES, LogWriter, MAX_ENTRIES_EACH, MAX_ENTRY_BYTES } from "./log-writer.ts";
import { linesOf, MemorySink } from "./testing.ts";

const SECTOR = 512;
const MIB = 1 << 20;

function written(writer: LogWriter): Promise<void> {
  return new Promise((resolve) => writer.whenWritten(resolve));
}

function never(error: Error): void {
  throw error;
}

test("a log has its entries in the order of the calls, with their data", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  writer.write(0, 1024, false, [Buffer.alloc(512, 1), Buffer.alloc(512, 1)]);
  writer.mark("between");
  writer.zero(4096, 2048, true);
  writer.trim(8192, 512, false);
  writer.write(512, 512, true, [Buffer.alloc(512, 2)]);
  await writer.close();
  assert.equal(sink.closed, true);
  assert.deepEqual(linesOf(sink.contents()), [
    "write 0+1024 (1)",
    "mark between",
    "write fua 4096+2048 (0)",
    "trim 8192+512",
    "write fua 512+512 (2)",
  ]);
});

test("zeroes are a hole in the file, at its end too", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  writer.zero(0, 64 * MIB, false);
  writer.mark("behind");
  writer.zero(0, 64 * MIB, false);
  await writer.close();
  const bytes = sink.deeds.reduce((total, deed) => total + ("bytes" in deed ? deed.bytes.length : 0), 0);
  assert.ok(bytes < 16 * SECTOR, `${bytes} bytes were written`);
  assert.deepEqual(linesOf(sink.contents()), ["write 0+67108864 (0)", "mark behind", "write 0+67108864 (0)"]);
});

test("a range longer than an entry may be becomes several", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  writer.trim(512, 2 * MAX_ENTRY_BYTES + 512, false);
  await writer.close();
  assert.deepEqual(linesOf(sink.contents()), [
    `trim 512+${MAX_ENTRY_BYTES}`,
    `trim ${512 + MAX_ENTRY_BYTES}+${MAX_ENTRY_BYTES}`,
    `trim ${512 + 2 * MAX_ENTRY_BYTES}+512`,
  ]);
});

test("a range beyond all measure becomes so many entries and no more, each of whole sectors", async () => {
  const length = 2 ** 50 - SECTOR;
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  writer.trim(SECTOR, length, false);
  await writer.close();
  const lines = linesOf(sink.contents());
  assert.equal(lines.length, MAX_ENTRIES_EACH);
  assert.equal(lines[0], `trim ${SECTOR}+${2 ** 40}`);
  assert.equal(lines.at(-1), `trim ${SECTOR + 2 ** 50 - 2 ** 40}+${2 ** 40 - SECTOR}`);
});

for (const when of ["before", "after"] as const) {
  test(`a mark becomes a flush where it stands, ${when} it was written`, async () => {
    const sink = new MemorySink();
    const writer = new LogWriter(sink, SECTOR, never);
    writer.trim(0, 512, false);
    const place = writer.mark("a long text that is not to be seen any more");
    writer.trim(512, 512, false);
    if (when === "after") await written(writer);
    writer.becomeFlush(place);
    await writer.close();
    assert.equal(place.index, 1);
    assert.deepEqual(linesOf(sink.contents()), ["trim 0+512", "flush", "trim 512+512"]);
  });
}

test("wherever a log ends, the entries that it says it has are whole", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  for (let round = 0; round < 6; round++) {
    writer.write(0, 1536, false, [Buffer.alloc(1536, round)]);
    const place = writer.mark("flush begun");
    writer.zero(4096, 4096, false);
    if (round % 2 === 0) await written(writer);
    writer.becomeFlush(place);
    writer.trim(0, 512, false);
    if (round % 3 === 0) await written(writer);
  }
  await writer.close();
  const whole = linesOf(sink.contents());
  assert.equal(whole.length, 24);
  for (let deeds = 0; deeds <= sink.deeds.length; deeds++) {
    const bytes = sink.contents(deeds);
    // Before the first super block there is no log yet.
    if (bytes.length < SECTOR || bytes.readUInt32LE(24) === 0) continue;
    const lines = linesOf(bytes);
    const wanted = whole.slice(0, lines.length);
    assert.deepEqual(
      lines.map((line) => line.replace("mark flush begun", "flush")),
      wanted,
    );
  }
});

test("wherever a log ends, a flush that it says was done has behind it what tells when", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  const place = writer.mark("flush begun");
  writer.trim(0, 512, false);
  await written(writer);
  writer.becomeFlush(place);
  writer.mark("flush 0 done");
  await writer.close();
  for (let deeds = 3; deeds <= sink.deeds.length; deeds++) {
    const lines = linesOf(sink.contents(deeds));
    assert.ok(!lines.includes("flush") || lines.includes("mark flush 0 done"), lines.join());
  }
  assert.equal(linesOf(sink.contents())[0], "flush");
});

test("what is called back for is in the file, and counted", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  sink.hold();
  const events: string[] = [];
  writer.mark("one");
  writer.whenWritten(() => events.push(`one: ${linesOf(sink.contents()).length}`));
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  // The batch with the first mark is on its way: this one is in the next.
  writer.mark("two");
  const last = written(writer).then(() => events.push(`two: ${linesOf(sink.contents()).length}`));
  assert.deepEqual(events, []);
  sink.proceed();
  await last;
  assert.deepEqual(events, ["one: 1", "two: 2"]);
  await writer.close();
});

test("a writer is full at its limit, and calls back in the order of asking when it isn't any more", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, never);
  sink.hold();
  const data = Buffer.alloc(MIB, 1);
  for (let bytes = 0; bytes < BUFFER_LIMIT_BYTES; bytes += MIB) {
    assert.equal(writer.full, false);
    writer.write(0, MIB, false, [data]);
  }
  assert.equal(writer.full, true);
  for (let more = 0; more < 8; more++) writer.write(0, MIB, false, [data]);
  const called: string[] = [];
  writer.whenRoom(() => called.push("one"));
  writer.whenRoom(() => called.push("none"))();
  writer.whenRoom(() => called.push(`two, ${writer.full ? "full" : "not full"}`));
  await new Promise(setImmediate);
  assert.deepEqual(called, []);
  sink.proceed();
  await written(writer);
  assert.deepEqual(called, ["one", "two, not full"]);
  await writer.close();
});

test("a sink that fails ends the log with what was whole, once, and nobody waits in vain", async () => {
  const sink = new MemorySink();
  const failures: string[] = [];
  const writer = new LogWriter(sink, SECTOR, ({ message }) => failures.push(message));
  writer.mark("whole");
  await written(writer);
  sink.failure = new Error("ENOSPC: no space left on device");
  writer.write(0, 512, false, [Buffer.alloc(512)]);
  await written(writer);
  assert.deepEqual(failures, ["ENOSPC: no space left on device"]);
  const place = writer.mark("lost");
  writer.becomeFlush(place);
  writer.zero(0, 512, false);
  await written(writer);
  assert.equal(writer.full, false);
  await writer.close();
  assert.equal(sink.closed, true);
  assert.deepEqual(linesOf(sink.contents()), ["mark whole"]);
  assert.equal(failures.length, 1);
});

test("whoever waits for room gets it where the sink fails", async () => {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, () => {});
  sink.hold();
  for (let bytes = 0; bytes < BUFFER_LIMIT_BYTES; bytes += MIB) writer.write(0, MIB, false, [Buffer.alloc(MIB)]);
  const room = new Promise<void>((resolve) => writer.whenRoom(resolve));
  sink.failure = new Error("EIO: i/o error");
  sink.proceed();
  await room;
  assert.equal(writer.full, false);
  await writer.close();
});

test("a file that is there is replaced only by force, and not before something is written", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skink-test-"));
  try {
    const path = join(folder, "log");
    writeFileSync(path, "precious");
    await assert.rejects(createLogFile(path, false), {
      code: "log-file",
      message: `Cannot record to ${path}: it is there already, a new file or --force was wanted`,
    });
    const unused = await createLogFile(path, true);
    await unused.abandon();
    assert.equal(readFileSync(path, "utf8"), "precious");
    const file = await createLogFile(path, true);
    assert.equal(statSync(path).size, 8);
    await file.write(Buffer.from("new"), 1);
    await file.extend(6);
    await file.close();
    assert.equal(readFileSync(path, "latin1"), "\0new\0\0");
    const fresh = await createLogFile(join(folder, "fresh"), true);
    await fresh.abandon();
    assert.deepEqual(readdirSync(folder), ["log"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a file that can't be made, that is in use, or no file, is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skink-test-"));
  try {
    const path = join(folder, "log");
    const file = await createLogFile(path, false);
    await assert.rejects(createLogFile(path, true), {
      code: "log-file",
      message: `Cannot record to ${path}: it is in use, a file of its own was wanted`,
    });
    await file.close();
    await assert.rejects(createLogFile(join(folder, "none", "log"), false), { code: "log-file", message: /ENOENT/ });
    await assert.rejects(createLogFile("/dev/null", true), { code: "log-file", message: /not a regular file/ });
    execFileSync("mkfifo", [join(folder, "pipe")]);
    await assert.rejects(createLogFile(join(folder, "pipe"), true), { code: "log-file", message: /ENXIO/ });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
