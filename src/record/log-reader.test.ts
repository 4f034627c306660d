import { strict as assert } from "node:assert";
import { truncateSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { SkinkError } from "../block/errors.ts";
import { LogWritesReader } from "./log-reader.ts";
import { LogWriter } from "./log-writer.ts";
import { type EntryHeader, encodeEntry, encodeSuper } from "./log-writes.ts";
import { deviceMark, flushDoneMark } from "./own-marks.ts";
import { MemorySink, withLog } from "./testing.ts";

const SECTOR = 512;

async function logOf(write: (writer: LogWriter) => void): Promise<Buffer> {
  const sink = new MemorySink();
  const writer = new LogWriter(sink, SECTOR, (error) => {
    throw error;
  });
  write(writer);
  await writer.close();
  return sink.contents();
}

function read<Result>(bytes: Uint8Array, body: (log: LogWritesReader, path: string) => Result): Result {
  return withLog(bytes, (path) => {
    const log = LogWritesReader.open(path);
    try {
      return body(log, path);
    } finally {
      log.close();
    }
  });
}

const SAMPLE = await logOf((writer) => {
  writer.mark(deviceMark(1 << 20, SECTOR));
  writer.write(1024, 1024, false, [Buffer.alloc(512, 1), Buffer.alloc(512, 2)]);
  writer.trim(4096, 512, true);
  writer.becomeFlush(writer.mark("flush begun"));
  writer.zero(0, 512, true);
});

test("entries are known by number, place and nature, and their data is read from the file", () => {
  read(SAMPLE, (log) => {
    assert.equal(log.sectorSize, SECTOR);
    assert.equal(log.deviceBytes, 1 << 20);
    assert.equal(log.cutOff, undefined);
    const plain = { flush: false, fua: false, discard: false, metadata: false, mark: undefined };
    assert.deepEqual(
      log.entries.slice(1),
      [
        { ...plain, offset: 1024, length: 1024, index: 1, hasData: true, dataPosition: 1536, answeredAt: 2 },
        { ...plain, offset: 4096, length: 512, index: 2, hasData: false, dataPosition: 3072, answeredAt: 3 },
        { ...plain, offset: 0, length: 0, index: 3, hasData: false, dataPosition: 3584, answeredAt: 4 },
        { ...plain, offset: 0, length: 512, index: 4, hasData: true, dataPosition: 4096, answeredAt: 5 },
      ].map((entry) => ({
        ...entry,
        discard: entry.index === 2,
        fua: [2, 4].includes(entry.index),
        flush: entry.index === 3,
      })),
    );
    const into = Buffer.alloc(512);
    const [, write, trim] = log.entries;
    assert.ok(write !== undefined && trim !== undefined);
    log.data(write, into, 256);
    assert.deepEqual([into[0], into[255], into[256], into[511]], [1, 1, 2, 2]);
    assert.throws(() => log.data(write, into, 513), RangeError);
    assert.throws(() => log.data(trim, into), RangeError);
  });
});

test("a flush that later writers overtook says when it was answered", async () => {
  const bytes = await logOf((writer) => {
    const flush = writer.mark("flush begun");
    writer.trim(0, 512, false);
    writer.becomeFlush(flush);
    writer.mark(flushDoneMark(flush.index));
    writer.trim(512, 512, false);
  });
  read(bytes, (log) =>
    assert.deepEqual(
      log.entries.map(({ answeredAt }) => answeredAt),
      [2, 2, 3, 4],
    ),
  );
});

test("a mark that names an entry that is no flush means nothing", async () => {
  const bytes = await logOf((writer) => {
    writer.trim(0, 512, false);
    writer.mark(flushDoneMark(0));
    writer.mark(flushDoneMark(7));
    writer.mark("skink: flush 99999999999999999999 done");
  });
  read(bytes, (log) =>
    assert.deepEqual(
      log.entries.map(({ answeredAt }) => answeredAt),
      [1, 2, 3, 4],
    ),
  );
});

test("a log of the kernel's is read: flushes with data, metadata, no size", () => {
  const entry: EntryHeader = {
    offset: 0,
    length: 4096,
    flush: true,
    fua: true,
    discard: false,
    metadata: true,
    mark: undefined,
  };
  const bytes = Buffer.alloc(3 * 4096);
  encodeSuper({ entries: 1, sectorSize: 4096 }).copy(bytes);
  encodeEntry(entry, 4096, bytes.subarray(4096));
  read(bytes, (log) => {
    assert.equal(log.deviceBytes, undefined);
    assert.deepEqual(log.entries, [{ ...entry, index: 0, hasData: true, dataPosition: 8192, answeredAt: 1 }]);
  });
});

test("of a log that was cut off the whole entries are read, wherever that was", () => {
  const ends = [512, 1024, 2560, 3072, 3584, 4608];
  for (let bytes = SECTOR; bytes <= SAMPLE.length; bytes += 1) {
    read(SAMPLE.subarray(0, bytes), ({ entries, cutOff }) => {
      const whole = ends.findLastIndex((end) => end <= bytes);
      assert.equal(entries.length, whole);
      assert.equal(cutOff === undefined, bytes === SAMPLE.length);
      if (cutOff !== undefined)
        assert.match(cutOff, new RegExp(`^it ends at byte ${bytes}, .* entry ${whole}; .* has 5$`));
    });
  }
});

test("nothing is made of an entry that isn't one: the error says which and where", () => {
  const bytes = Buffer.from(SAMPLE);
  bytes.writeUInt8(0x80, 2560 + 16);
  withLog(bytes, (path) => {
    assert.throws(() => LogWritesReader.open(path), {
      code: "bad-log",
      message: `Cannot read the log ${path}: entry 2, at byte 2560, is none: its flags are 0x80, a log of dm-log-writes was wanted`,
    });
  });
});

test("what is no log is refused", () => {
  withLog(Buffer.from("#!/bin/sh\nexit 1\n"), (path) => {
    assert.throws(() => LogWritesReader.open(path), { code: "bad-log", message: /it has 17 bytes/ });
    assert.throws(() => LogWritesReader.open(`${path}.not`), { code: "bad-log", message: /there is no such file/ });
  });
  assert.throws(() => LogWritesReader.open("/dev/null"), { code: "bad-log", message: /neither a file nor/ });
});

test("a log that becomes shorter is told, not read as something else", () => {
  read(SAMPLE, (log, path) => {
    truncateSync(path, 1700);
    const entry = log.entries[1];
    assert.ok(entry !== undefined);
    assert.throws(() => log.data(entry, Buffer.alloc(1024)), { code: "bad-log", message: /shorter than 2560 bytes/ });
  });
});

test("whatever is changed in a log, it is read or refused in one line", () => {
  const change = fc.record({ at: fc.nat(SAMPLE.length - 1), byte: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
      const bytes = Buffer.from(SAMPLE);
      for (const { at, byte } of changes) bytes[at % 600 < 64 ? at : at % 64] = byte;
      try {
        read(bytes, (log) => {
          for (const entry of log.entries) {
            if (entry.hasData) log.data(entry, Buffer.alloc(Math.min(entry.length, 4096)));
          }
        });
      } catch (error) {
        assert.ok(error instanceof SkinkError, String(error));
        assert.equal(error.code, "bad-log");
        assert.ok(!error.message.includes("\n"));
      }
    }),
    { numRuns: 300 },
  );
});
