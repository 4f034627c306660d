import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { NbdRequestError } from "../nbd/client/errors.ts";
import { type LoadClient, type LoadOptions, VerifyingLoad } from "./load.ts";
import { LOAD_PATTERNS } from "./pattern.ts";
import { blocks, type Choice, PATTERNS } from "./patterns.ts";
import type { WrongKind } from "./wrong.ts";

const DISK_BYTES = 1 << 20;
const OPTIONS: LoadOptions = { pattern: "random", seed: 1, depth: 4, bytes: DISK_BYTES };

/** What a disk does in place of a write, if it says so. */
type Deed = (bytes: Uint8Array, offset: number, data: Uint8Array) => void;

/** A disk in memory that answers in a later turn of the event loop. */
class Disk implements LoadClient {
  readonly size: number = DISK_BYTES;
  minimumBlockSize = 1;
  readOnly = false;
  canFlush = true;
  canFua = true;
  canTrim = true;
  canZero = true;
  connected = true;
  readonly bytes = new Uint8Array(DISK_BYTES);
  /** What was asked, a word each. */
  readonly asked: string[] = [];
  /** In place of the write of this number. */
  fault: { readonly write: number; readonly deed: Deed } | undefined;
  error: Error | undefined;
  #writes = 0;

  async readInto(offset: number, into: Uint8Array): Promise<void> {
    await this.#turn(`read ${offset} ${into.length}`);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, data: Uint8Array, { fua = false } = {}): Promise<void> {
    await this.#turn(`write ${offset} ${data.length} ${fua}`);
    if (this.fault?.write === this.#writes++) this.fault.deed(this.bytes, offset, data);
    else this.bytes.set(data, offset);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#turn(`zero ${offset} ${length}`);
    this.bytes.fill(0, offset, offset + length);
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.#turn(`trim ${offset} ${length}`);
    this.bytes.fill(0xee, offset, offset + length);
  }

  async flush(): Promise<void> {
    await this.#turn("flush");
  }

  async #turn(what: string): Promise<void> {
    this.asked.push(what);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.error !== undefined) throw this.error;
  }
}

async function run(load: VerifyingLoad, requests: number): Promise<void> {
  const wanted = load.tally.requests + requests;
  load.start();
  while (load.tally.requests < wanted) await load.nextCompletion();
  await load.stop();
}

for (const pattern of LOAD_PATTERNS) {
  test(`an honest disk passes the pattern ${pattern}, with sectors of any size and several clients`, async () => {
    for (const minimumBlockSize of [1, 512, 4096, 65536]) {
      const disk = new Disk();
      disk.minimumBlockSize = minimumBlockSize;
      const load = new VerifyingLoad([disk, disk], { ...OPTIONS, pattern });
      await run(load, 1000);
      await load.readBack();
      const { errors, wrong, reads, writes, flushes } = load.tally;
      assert.deepEqual({ errors, wrong }, { errors: 0, wrong: 0 });
      assert.ok(reads > 100 && writes > 100 && flushes > 0);
    }
  });

  test(`the pattern ${pattern} asks the same for the same seed, and something else for another one`, async () => {
    const asked = async (seed: number): Promise<string[]> => {
      const disk = new Disk();
      await run(new VerifyingLoad([disk], { ...OPTIONS, pattern, seed, depth: 1 }), 300);
      return disk.asked;
    };
    assert.deepEqual(await asked(1), await asked(1));
    assert.notDeepEqual(await asked(1), await asked(2));
  });
}

test("what the sequential pattern has written it reads back before it writes there again, however few places there are", () => {
  for (const [sectors, lanes] of [
    [4096, 16],
    [1000, 3],
    [64, 8],
    [8, 1],
  ] as const) {
    const unread = new Set<number>();
    const written = new Set<number>();
    const random = new SeededRandom(1);
    const draws = Array.from({ length: lanes }, (_, lane) =>
      PATTERNS.sequential({ sectors, sectorBytes: 512, lane, lanes }),
    );
    const choice: Choice = { kind: "read", sector: 0, count: 1, fua: false, mayTrim: false };
    for (let request = 0; request < 6 * sectors; request++) {
      // Lanes don't wait for each other.
      draws[random.below(lanes)]?.(random, choice);
      const { kind, sector } = choice;
      if (kind === "write") {
        assert.ok(!unread.has(sector), `sector ${sector} of ${sectors} was written twice, and not read`);
        unread.add(sector);
        written.add(sector);
      } else if (kind === "read")
        assert.ok(unread.delete(sector), `sector ${sector} was read without having been written`);
    }
    assert.equal(written.size, sectors / 8);
  }
});

test("before all else every sector may be written once, and what goes wrong with that is counted", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], { ...OPTIONS, bytes: DISK_BYTES - 512 });
  await load.writeAll();
  const { writes, requests, errors } = load.tally;
  assert.deepEqual({ writes, requests, errors }, { writes: 4, requests: 4, errors: 0 });
  assert.ok(disk.bytes.subarray(0, DISK_BYTES - 512).some((byte) => byte !== 0));
  disk.bytes.fill(0);
  await load.readBack();
  assert.equal(load.tally.wrong, DISK_BYTES / 512 - 1);
  disk.error = new Error("no");
  await load.writeAll();
  assert.equal(load.tally.errors, 4);
  assert.equal(load.tally.firstError, "write: no");
  disk.error = undefined;
  disk.bytes.fill(5);
  const { wrong } = load.tally;
  await load.readBack();
  assert.equal(load.tally.wrong, wrong, "nobody knows what was there before");
});

const FAULTS: readonly (readonly [WrongKind, Deed])[] = [
  ["lost", () => {}],
  ["misdirected", (bytes, offset, data) => bytes.set(data, offset >= 4096 ? offset - 4096 : offset + 4096)],
  ["torn", (bytes, offset, data) => bytes.set(data.subarray(0, 100 * 16), offset)],
  [
    "corrupt",
    (bytes, offset, data) => {
      bytes.set(data, offset);
      bytes[offset + 999] = (bytes[offset + 999] as number) ^ 4;
    },
  ],
];

for (const [kind, deed] of FAULTS) {
  test(`one ${kind} write is found, at the latest when everything is read back`, async () => {
    const disk = new Disk();
    disk.fault = { write: 5, deed };
    const load = new VerifyingLoad([disk], { ...OPTIONS, pattern: blocks(4096, 100, 1000) });
    await run(load, 20);
    await load.readBack();
    const { wrong, wrongs } = load.tally;
    assert.ok(wrong > 0);
    assert.ok(
      wrongs.some((one) => one.kind === kind),
      JSON.stringify(wrongs),
    );
  });
}

test("what a flush had promised and is gone is a lie of the flush, and counted once", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], { ...OPTIONS, pattern: blocks(4096, 100, 1000) });
  await run(load, 20);
  await load.readBack();
  disk.bytes.fill(0);
  await load.readBack();
  const { wrong, flushLies } = load.tally;
  assert.ok(wrong >= 8);
  assert.equal(flushLies, wrong);
  await load.readBack();
  assert.equal(load.tally.wrong, wrong);
});

test("a server is asked for nothing that it can't do", async () => {
  const disk = new Disk();
  Object.assign(disk, { canFlush: false, canFua: false, canTrim: false, canZero: false });
  const load = new VerifyingLoad([disk], { ...OPTIONS, pattern: "flush-heavy" });
  await run(load, 500);
  await load.readBack();
  assert.deepEqual(
    disk.asked.filter((what) => !/^(read|write .* false$)/.test(what)),
    [],
  );
  disk.readOnly = true;
  disk.asked.length = 0;
  await run(load, 100);
  assert.deepEqual(
    disk.asked.filter((what) => !what.startsWith("read")),
    [],
  );
});

test("errors are counted, and the load goes on; what failed may hold the old or the new", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], OPTIONS);
  await run(load, 200);
  disk.error = new Error("Cannot do it");
  await run(load, 200);
  disk.error = undefined;
  await run(load, 200);
  await load.readBack();
  const { errors, firstError, wrong } = load.tally;
  assert.ok(errors >= 200 && errors < 210);
  assert.match(firstError ?? "", /^\w+: Cannot do it$/);
  assert.equal(wrong, 0);
});

test("refusals that need no server don't keep the event loop from turning", async () => {
  const disk = new Disk();
  const refuse = () => Promise.reject(new Error("no"));
  Object.assign(disk, { readInto: refuse, write: refuse, zero: refuse, trim: refuse, flush: refuse });
  const load = new VerifyingLoad([disk], OPTIONS);
  load.start();
  await new Promise((resolve) => setImmediate(resolve));
  await load.stop();
  assert.ok(load.tally.errors > 0);
});

test("a load ends where its client is disconnected for good, and whoever waits is told", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], OPTIONS);
  await run(load, 50);
  disk.error = new Error("the connection is gone");
  disk.connected = false;
  load.start();
  for (let i = 0; i < 10; i++) await load.nextCompletion();
  const { requests } = load.tally;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(load.tally.requests, requests);
  await load.stop();
});

test("what a client that is gone would have read back is read by the others", async () => {
  const disk = new Disk();
  const gone = new Disk();
  const load = new VerifyingLoad([gone, disk], OPTIONS);
  gone.error = new Error("the connection is gone");
  gone.connected = false;
  await run(load, 200);
  disk.asked.length = 0;
  // It is found out when the others have nothing to do any more.
  gone.readInto = async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    throw gone.error;
  };
  await load.readBack();
  const read = disk.asked.flatMap((what) => (what.startsWith("read ") ? [Number(what.split(" ")[1])] : []));
  const part = DISK_BYTES / 4;
  assert.deepEqual(
    read.toSorted((a, b) => a - b),
    [0, part, 2 * part, 3 * part],
  );
  assert.ok(disk.asked.includes("flush"));
  disk.error = gone.error;
  disk.connected = false;
  await load.readBack();
});

test("whoever waits again and again for a load at rest lets the others go on", async () => {
  const load = new VerifyingLoad([new Disk()], OPTIONS);
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  for (let i = 0; i < 1000 && !turned; i++) await load.nextCompletion();
  assert.ok(turned);
});

test("a device without room for a sector is refused", () => {
  const disk = new Disk();
  disk.minimumBlockSize = 65536;
  assert.throws(() => new VerifyingLoad([disk], { ...OPTIONS, bytes: 4096 }), {
    code: "too-small",
    message: "Cannot load 4096 bytes of a device of 1048576: room for a sector of 65536 was wanted",
  });
});

test("a load whose server answers with errors goes on while its client looks for another connection", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], OPTIONS);
  disk.error = new NbdRequestError("read 512 bytes at 0", 5);
  disk.connected = false;
  await run(load, 50);
  assert.ok(load.tally.errors >= 50);
});

test("a load at rest asks for nothing, and goes on with what it knows", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], OPTIONS);
  await run(load, 50);
  const { requests } = load.tally;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(load.tally.requests, requests);
  disk.bytes.fill(0);
  await load.readBack();
  assert.ok(load.tally.wrong > 0);
});

test("the longest gap is that since it was taken, and the longest of all is kept", async () => {
  const disk = new Disk();
  const load = new VerifyingLoad([disk], OPTIONS);
  await run(load, 50);
  const first = load.takeLongestGapMs();
  assert.ok(first > 0);
  assert.equal(load.takeLongestGapMs(), 0);
  assert.ok(load.tally.longestGapMs >= first);
});
