import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO, type Errno } from "../block/errors.ts";
import type { Request, RequestKind } from "../block/request.ts";
import { Bench, type BenchOptions, newRequest, SECTOR } from "../shadow/testing.ts";
import { BUFFER_LIMIT_BYTES } from "./log-writer.ts";
import { RecordedDevice } from "./recorded-device.ts";
import { Recording } from "./recording.ts";
import { linesOf, MemorySink } from "./testing.ts";

/** A device on a link that is completed by hand, recorded into memory. */
class Studio {
  readonly bench: Bench;
  readonly sink = new MemorySink();
  readonly recording = new Recording(this.sink, "the log", SECTOR, (line) => this.failures.push(line));
  readonly device: RecordedDevice;
  readonly failures: string[] = [];
  readonly replies = new Map<Request, Errno>();

  constructor(options: BenchOptions = {}) {
    this.bench = new Bench(options);
    this.device = new RecordedDevice(this.bench.device, this.recording, this.recording);
  }

  request(kind: RequestKind, sector = 0, sectors = 1, flags: { fua?: boolean; fast?: boolean } = {}): Request {
    return newRequest(kind, sector, sectors, flags, (request, errno) => {
      assert.ok(!this.replies.has(request), "a second reply");
      this.replies.set(request, errno);
    });
  }

  send(
    kind: RequestKind,
    sector = 0,
    sectors = 1,
    { fill = 1, ...flags }: { fua?: boolean; fast?: boolean; fill?: number } = {},
  ): Request {
    const request = this.request(kind, sector, sectors, flags);
    assert.equal(this.device.admit(request), "admitted");
    if (kind === "write") for (const slot of request.payload?.slots ?? []) slot.bytes.fill(fill);
    this.device.submit(request);
    this.device.kick();
    return request;
  }

  written(): Promise<void> {
    return new Promise((resolve) => this.recording.whenWritten(resolve));
  }

  async lines(): Promise<string[]> {
    await this.recording.close();
    const lines = linesOf(this.sink.contents());
    assert.equal(lines[0], "mark skink: size=1073741824 block=512");
    assert.equal(lines.at(-1), "mark skink: end");
    return lines.slice(1, -1);
  }
}

test("writers are recorded in the order of their answers, with what was written", async () => {
  const studio = new Studio();
  const first = studio.send("write", 0, 2, { fill: 1 });
  studio.send("write", 8, 1, { fill: 2 });
  studio.send("zero", 16, 4);
  studio.send("trim", 32, 4);
  const { link } = studio.bench;
  link.complete("trim");
  link.complete("write", 8 * SECTOR);
  link.complete("zero");
  link.complete("write", 0);
  assert.equal(studio.replies.get(first), 0);
  assert.deepEqual(await studio.lines(), [
    "trim 16384+2048",
    "write 4096+512 (2)",
    "write 8192+2048 (0)",
    "write 0+1024 (1)",
  ]);
});

test("a flush stands where it arrived, and a mark says that it was answered later", async () => {
  const studio = new Studio();
  const { link } = studio.bench;
  studio.send("write", 0);
  link.complete("write");
  studio.send("write", 8, 1, { fill: 2 });
  const flush = studio.send("flush");
  link.complete("write");
  assert.equal(studio.replies.get(flush), undefined);
  link.complete("flush");
  await studio.written();
  assert.equal(studio.replies.get(flush), 0);
  assert.deepEqual(await studio.lines(), [
    "write 0+512 (1)",
    "flush",
    "write 4096+512 (2)",
    "mark skink: flush 2 done",
  ]);
});

test("a flush that nobody overtook says nothing more", async () => {
  const studio = new Studio();
  studio.send("flush");
  studio.bench.link.complete("flush");
  studio.send("write", 0);
  studio.bench.link.complete("write");
  assert.deepEqual(await studio.lines(), ["flush", "write 0+512 (1)"]);
});

test("a flush that failed is none", async () => {
  const studio = new Studio();
  studio.send("write", 0);
  studio.bench.link.complete("write");
  const flush = studio.send("flush");
  studio.bench.link.complete("flush", undefined, ERRNO.EIO);
  assert.equal(studio.replies.get(flush), ERRNO.EIO);
  assert.deepEqual(await studio.lines(), ["write 0+512 (1)", "mark skink: flush failed, EIO"]);
});

test("a flush that is never answered is none", async () => {
  const studio = new Studio();
  studio.send("flush");
  assert.deepEqual(await studio.lines(), ["mark skink: flush begun"]);
});

for (const [name, errno] of Object.entries(ERRNO).filter(([name]) => ["ENOSPC", "EINVAL", "EPERM"].includes(name))) {
  test(`a writer that the driver answered with ${name} leaves a mark: a part of it may have been done`, async () => {
    const studio = new Studio();
    const write = studio.send("write", 1, 2);
    studio.bench.link.complete("write", undefined, errno);
    assert.equal(studio.replies.get(write), errno);
    assert.deepEqual(await studio.lines(), [`mark skink: write failed, ${name}, offset=512 length=1024`]);
  });
}

test("a writer that the device refuses by itself leaves no mark", async () => {
  const studio = new Studio({ geometry: { zero: false } });
  const fast = studio.send("zero", 8, 1, { fast: true });
  assert.equal(studio.replies.get(fast), ERRNO.ENOTSUP);
  const late = studio.request("write");
  assert.equal(studio.device.admit(late), "admitted");
  studio.bench.device.refuse(ERRNO.EIO);
  studio.device.submit(late);
  assert.equal(studio.replies.get(late), ERRNO.EIO);
  assert.deepEqual(await studio.lines(), []);
});

test("a FUA write is recorded with its data, though the device keeps none of it", async () => {
  const studio = new Studio({ geometry: { fua: true } });
  const write = studio.send("write", 0, 1, { fua: true, fill: 7 });
  studio.bench.link.complete("write");
  assert.equal(studio.bench.writes.usedBytes, 0);
  await studio.written();
  assert.equal(studio.replies.get(write), 0);
  assert.deepEqual(await studio.lines(), ["write fua 0+512 (7)"]);
});

for (const [what, send, complete] of [
  ["flush", (studio: Studio) => studio.send("flush"), "flush"],
  ["FUA write", (studio: Studio) => studio.send("write", 0, 1, { fua: true }), "write"],
] as const) {
  test(`a ${what} is answered when it is in the log`, async () => {
    const studio = new Studio({ geometry: { fua: true } });
    studio.sink.hold();
    const request = send(studio);
    studio.bench.link.complete(complete);
    await new Promise(setImmediate);
    assert.equal(studio.replies.get(request), undefined);
    const seen: number[] = [];
    studio.recording.whenWritten(() => seen.push(studio.replies.get(request) as number));
    studio.sink.proceed();
    await studio.written();
    assert.deepEqual(seen, [0]);
  });
}

test("a write is answered at once, and its memory is the device's again", () => {
  const studio = new Studio();
  studio.sink.hold();
  const write = studio.send("write", 0);
  studio.bench.link.complete("write");
  assert.equal(studio.replies.get(write), 0);
  assert.equal(write.payload, undefined);
});

test("writers wait while the log is full, and are called back in the order of asking", async () => {
  const studio = new Studio();
  studio.sink.hold();
  for (let bytes = 0; bytes < BUFFER_LIMIT_BYTES; bytes += 1 << 20) {
    studio.send("write", 0, (1 << 20) / SECTOR);
    studio.bench.link.complete("write");
  }
  const called: number[] = [];
  const wait = (sector: number): Request => {
    const request = studio.request("write", sector);
    assert.equal(studio.device.admit(request), "wait");
    studio.device.whenRoom(request, () => called.push(sector));
    return request;
  };
  const first = wait(1);
  const gone = studio.request("write", 2);
  assert.equal(studio.device.admit(gone), "wait");
  studio.device.whenRoom(gone, () => called.push(2))();
  wait(3);
  assert.equal(studio.device.admit(studio.request("read")), "admitted");
  studio.sink.proceed();
  await studio.written();
  assert.deepEqual(called, [1, 3]);
  assert.equal(studio.device.admit(first), "admitted");
  studio.device.abandon(first);
  assert.equal(first.payload, undefined);
});

test("who waits for the device's own memory waits there", () => {
  const studio = new Studio({ writeBytes: SECTOR });
  const first = studio.request("write");
  assert.equal(studio.device.admit(first), "admitted");
  const second = studio.request("write", 8);
  assert.equal(studio.device.admit(second), "wait");
  let called = 0;
  studio.device.whenRoom(second, () => called++);
  studio.device.abandon(first);
  studio.bench.clock.advance(0);
  assert.equal(called, 1);
  assert.equal(studio.device.admit(second), "admitted");
});

test("a request object that is used again is another request", async () => {
  const studio = new Studio();
  const request = { ...studio.request("write", 0) };
  const use = (changes: Partial<Request>): void => {
    studio.replies.clear();
    Object.assign(request, changes);
    assert.equal(studio.device.admit(request), "admitted");
    studio.device.submit(request);
    studio.device.kick();
  };
  use({});
  studio.bench.link.complete("write");
  use({ kind: "trim", offset: 4096 });
  studio.bench.link.complete("trim");
  assert.deepEqual(await studio.lines(), ["write 0+512 (0)", "trim 4096+512"]);
});

test("a driver's death is nothing to the clients' log", async () => {
  const studio = new Studio();
  const write = studio.send("write", 0, 1, { fill: 5 });
  const flush = studio.send("flush");
  studio.bench.restart();
  studio.bench.link.complete("write");
  studio.bench.link.complete("flush");
  await studio.written();
  assert.deepEqual([studio.replies.get(write), studio.replies.get(flush)], [0, 0]);
  assert.deepEqual(await studio.lines(), ["flush", "write 0+512 (5)", "mark skink: flush 1 done"]);
});

test("where the log fails, the device goes on, and a mark says why it can't be", async () => {
  const studio = new Studio();
  studio.sink.failure = new Error("ENOSPC: no space left on device, write");
  const write = studio.send("write", 0);
  studio.bench.link.complete("write");
  const flush = studio.send("flush");
  studio.bench.link.complete("flush");
  await studio.written();
  assert.deepEqual([studio.replies.get(write), studio.replies.get(flush)], [0, 0]);
  const said =
    "Cannot record to the log any more: ENOSPC: no space left on device, write; the log ends here, the device goes on";
  assert.deepEqual(studio.failures, [said]);
  await assert.rejects(studio.recording.mark("too late"), { code: "recording-ended", message: said });
});

test("a mark is behind everything that was answered", async () => {
  const studio = new Studio();
  studio.send("write", 0);
  studio.bench.link.complete("write");
  await studio.recording.mark("here");
  assert.deepEqual(linesOf(studio.sink.contents()).slice(1), ["write 0+512 (1)", "mark here"]);
  assert.deepEqual(await studio.lines(), ["write 0+512 (1)", "mark here"]);
});

for (const [what, text] of [
  ["empty", ""],
  ["longer than a sector holds", "x".repeat(480)],
  ["of several lines", "a\nb"],
  ["like Skink's own", "skink: flush 1 done"],
] as const) {
  test(`a mark that is ${what} is refused`, async () => {
    const studio = new Studio();
    await assert.rejects(studio.recording.mark(text), { code: "bad-mark", message: /^Cannot mark .* was wanted$/ });
  });
}
