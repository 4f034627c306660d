import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import { type Link, SUBMIT_FUA, SUBMIT_MAY_TRIM } from "../shadow/ports.ts";
import { RecordedLink } from "./recorded-link.ts";
import { Recording } from "./recording.ts";
import { linesOf, MemorySink } from "./testing.ts";

const SECTOR = 512;

class Studio {
  readonly submitted: (number | string)[][] = [];
  kicks = 0;
  readonly #sink = new MemorySink();
  readonly #recording = new Recording(this.#sink, "the log", SECTOR, assert.fail);
  readonly memory = new Uint8Array(8 * SECTOR);
  readonly link: RecordedLink;

  constructor() {
    const link: Link = {
      epoch: 7,
      depth: 32,
      maxEffect: 1 << 20,
      patience: 3,
      submit: (...submission) => this.submitted.push(submission),
      kick: () => this.kicks++,
    };
    this.link = new RecordedLink(link, this.#recording, this.memory);
  }

  async lines(): Promise<string[]> {
    await this.#recording.close();
    return linesOf(this.#sink.contents()).slice(0, -1);
  }
}

test("a driver sees the same submissions as without a recording", () => {
  const studio = new Studio();
  const { link, submitted } = studio;
  link.submit(1, "write", SUBMIT_FUA, 512, 1024, 2048);
  link.submit(2, "read", 0, 0, 512, 4096);
  assert.deepEqual(submitted, [
    [1, "write", SUBMIT_FUA, 512, 1024, 2048],
    [2, "read", 0, 0, 512, 4096],
  ]);
  assert.deepEqual([link.epoch, link.depth, link.maxEffect, link.patience], [7, 32, 1 << 20, 3]);
  link.kick();
  assert.equal(studio.kicks, 1);
});

test("what the driver answered is recorded in that order, with the data that it was given", async () => {
  const studio = new Studio();
  const { link } = studio;
  studio.memory.fill(1, 1024, 2048);
  studio.memory.fill(2, 2048, 2560);
  link.submit(1, "write", 0, 4096, 1024, 1024);
  link.submit(2, "write", SUBMIT_FUA, 0, 512, 2048);
  link.submit(3, "flush", 0, 0, 0, 0);
  link.submit(4, "zero", SUBMIT_MAY_TRIM, 8192, 512, 0);
  link.submit(5, "trim", 0, 16384, 512, 0);
  link.submit(6, "read", 0, 0, 512, 0);
  link.completed(2, 0, 512);
  link.completed(6, 0, 512);
  link.completed(5, 0, 0);
  link.completed(1, 0, 1024);
  link.completed(3, 0, 0);
  link.completed(4, 0, 0);
  assert.deepEqual(await studio.lines(), [
    "flush",
    "write fua 0+512 (2)",
    "trim 16384+512",
    "write 4096+1024 (1)",
    "mark skink: flush 0 done",
    "write 8192+512 (0)",
  ]);
});

test("answers to nothing, answers given twice and short ones are not recorded", async () => {
  const studio = new Studio();
  const { link } = studio;
  link.submit(1, "write", 0, 0, 512, 0);
  link.submit(2, "trim", 0, 0, 512, 0);
  link.completed(9, 0, 0);
  link.completed(1, 0, 511);
  link.completed(2, 0, 0);
  link.completed(2, 0, 0);
  assert.deepEqual(await studio.lines(), ["trim 0+512"]);
});

test("what the driver refused leaves a mark, of an error that nobody knows too", async () => {
  const studio = new Studio();
  studio.link.submit(1, "write", 0, 0, 512, 0);
  studio.link.submit(2, "flush", 0, 0, 0, 0);
  studio.link.submit(3, "write", 0, 4096, 512, 0);
  studio.link.completed(1, ERRNO.EIO, 0);
  studio.link.completed(2, 4711, 0);
  studio.link.completed(3, ERRNO.EINVAL, 0);
  assert.deepEqual(await studio.lines(), [
    "mark skink: flush failed, errno 4711",
    "mark skink: write failed, EIO, offset=0 length=512",
    "mark skink: write failed, EINVAL, offset=4096 length=512",
  ]);
});

test("a zero that the driver can't do leaves no mark: zeroes are written in its place", async () => {
  const studio = new Studio();
  studio.link.submit(1, "zero", 0, 0, 512, 0);
  studio.link.completed(1, ERRNO.ENOTSUP, 0);
  assert.deepEqual(await studio.lines(), []);
});
