import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Driver, OpenedDevice } from "../block/driver.ts";
import { isBlockSize } from "../block/geometry.ts";
import { SeededRandom } from "../block/random.ts";
import { KeptMemory } from "./fake-context.ts";

/** A driver that the suite is run against. Its device is to have at least 4 MiB, and to be all zeroes at first. */
export interface Subject {
  readonly name: string;
  readonly driver: Driver<unknown>;
  /** The options for a new store, which is to be removed when the test is over. */
  options(t: TestContext): Record<string, string> | Promise<Record<string, string>>;
  /** The optional methods that it doesn't have. */
  readonly lacks?: readonly ("extents" | "trim" | "zero")[];
  /** What a later incarnation finds: what was flushed, or nothing that it can be held to. */
  readonly outlives: "flushed" | "nothing";
}

/** A write or a zero that drivers must do with any whole blocks. Bytes. */
const LARGE_BYTES = 1 << 20;
const MIN_DEVICE_BYTES = 4 << 20;
const MODEL_STEPS = 300;
const MODEL_CALL_BYTES = 256 << 10;
const PARALLEL_CALLS = 64;

/** What each driver promises, whatever it stores its blocks in. Registers the tests; the driver runs in this process. */
export function testDriver(subject: Subject): void {
  describe(`the ${subject.name} driver`, () => {
    for (const [claim, check] of Object.entries(CHECKS)) {
      test(claim, async (t) => {
        const incarnations = new Incarnations(subject, await subject.options(t));
        try {
          const lacking = await check(await incarnations.open(), incarnations);
          // What a driver doesn't offer there is nothing to check of; but it must be what its author says.
          if (lacking !== undefined)
            assert.ok(
              subject.lacks?.some((method) => lacking === `it has no ${method}`),
              lacking,
            );
        } finally {
          await incarnations.close();
        }
      });
    }
  });
}

/** One incarnation after another of one store. */
class Incarnations {
  readonly subject: Subject;
  readonly #raw: Record<string, string>;
  readonly #kept = new KeptMemory();
  #current: OpenedDevice | undefined;

  constructor(subject: Subject, raw: Record<string, string>) {
    this.subject = subject;
    this.#raw = raw;
  }

  async open(): Promise<WritableDevice> {
    const { driver } = this.subject;
    this.#current = await driver.open(driver.options?.parse(this.#raw) ?? this.#raw, this.#kept.nextContext());
    return new WritableDevice(this.#current);
  }

  async close(): Promise<void> {
    await this.#current?.close?.();
    this.#current = undefined;
  }

  async reopen(): Promise<WritableDevice> {
    await this.close();
    return this.open();
  }
}

/** An opened device with the conveniences that checks need. */
class WritableDevice {
  readonly opened: OpenedDevice;
  readonly block: number;
  readonly size: number;

  constructor(opened: OpenedDevice) {
    this.opened = opened;
    this.block = opened.blockSize ?? 512;
    this.size = opened.size - (opened.size % this.block);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const into = new Uint8Array(length).fill(0xee);
    await this.opened.read(offset, into);
    return into;
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.opened.write?.(offset, from, { fua: false });
  }
}

type Lacking = string | undefined;

/** Each check says what the driver lacks for it, if anything. */
const CHECKS: Record<string, (device: WritableDevice, incarnations: Incarnations) => Promise<Lacking> | Promise<void>> =
  {
    async "describes itself within the rules"({ opened, block }) {
      assert.ok(isBlockSize(block));
      assert.ok(Number.isSafeInteger(opened.size) && opened.size >= MIN_DEVICE_BYTES);
      assert.ok(opened.write !== undefined && opened.flush !== undefined, "a driver with write has a flush");
    },

    async "reads back what was written, at both ends, small and large"(device) {
      const { block, size } = device;
      for (const [offset, length] of [
        [0, block],
        [block * 3, block * 5],
        [block * 7, LARGE_BYTES],
        [size - block, block],
        [size - LARGE_BYTES, LARGE_BYTES],
      ] as const) {
        const content = patterned(length, offset);
        await device.write(offset, content);
        same(await device.read(offset, length), content);
      }
    },

    async "touches nothing beside the range of a write, and nothing beside the buffer of a read"(device) {
      const { block } = device;
      await device.write(0, patterned(block * 8, 1));
      await device.write(block * 3, patterned(block * 2, 2));
      same(await device.read(0, block * 3), patterned(block * 8, 1).subarray(0, block * 3));
      same(await device.read(block * 5, block * 3), patterned(block * 8, 1).subarray(block * 5));
      const around = new Uint8Array(block * 3).fill(0xaa);
      await device.opened.read(block * 3, around.subarray(block, block * 2));
      same(around.subarray(0, block), new Uint8Array(block).fill(0xaa));
      same(around.subarray(block, block * 2), patterned(block * 2, 2).subarray(0, block));
      same(around.subarray(block * 2), new Uint8Array(block).fill(0xaa));
    },

    async "neither changes nor keeps the buffer of a write"(device) {
      const from = patterned(device.block * 4, 3);
      await device.write(0, from);
      same(from, patterned(device.block * 4, 3));
      from.fill(0xff);
      same(await device.read(0, from.byteLength), patterned(from.byteLength, 3));
    },

    async "zeroes whole ranges and parts, with and without a hole"(device) {
      const { block, opened } = device;
      if (opened.zero === undefined) return "it has no zero";
      for (const mayTrim of [true, false]) {
        for (const [offset, length] of [
          [block, block],
          [block * 5, LARGE_BYTES],
        ] as const) {
          const before = patterned(length + block * 2, offset);
          await device.write(offset - block, before);
          await opened.zero(offset, length, { mayTrim, fast: false });
          same(await device.read(offset, length), new Uint8Array(length));
          same(await device.read(offset - block, block), before.subarray(0, block));
          same(await device.read(offset + length, block), before.subarray(-block));
        }
      }
    },

    async "zeroes fast, or says ENOTSUP and leaves the range as it was"(device) {
      const { opened, block } = device;
      if (opened.zero === undefined) return "it has no zero";
      const before = patterned(block * 16, 4);
      for (const mayTrim of [true, false]) {
        await device.write(0, before);
        let expected = new Uint8Array(before.byteLength);
        try {
          await opened.zero(0, before.byteLength, { mayTrim, fast: true });
        } catch (error) {
          assert.equal((error as { code?: unknown }).code, "ENOTSUP");
          expected = before;
        }
        same(await device.read(0, before.byteLength), expected);
      }
    },

    async "leaves the neighbours of a trim alone, and takes new writes there"(device) {
      const { opened, block } = device;
      if (opened.trim === undefined) return "it has no trim";
      const before = patterned(LARGE_BYTES, 5);
      await device.write(0, before);
      await opened.trim(block, LARGE_BYTES - block * 2);
      same(await device.read(0, block), before.subarray(0, block));
      same(await device.read(LARGE_BYTES - block, block), before.subarray(-block));
      await device.write(block * 2, patterned(block, 6));
      same(await device.read(block * 2, block), patterned(block, 6));
    },

    async "covers a range with extents, whose zeroes read as such"(device) {
      const { opened, block, size } = device;
      if (opened.extents === undefined) return "it has no extents";
      await device.write(LARGE_BYTES + block, patterned(block * 3, 7));
      await device.write(size - block, patterned(block, 8));
      for (const [start, end] of [
        [0, size],
        [block, size - block],
        [LARGE_BYTES + block * 2, LARGE_BYTES + block * 3],
      ] as const) {
        for (let at = start; at < end; ) {
          const extents = await opened.extents(at, end - at);
          assert.ok(extents.length > 0, "a list of extents has at least one");
          for (const { length, zero } of extents) {
            assert.ok(
              length > 0 && length % block === 0 && at + length <= end,
              `an extent of ${length} bytes at ${at}`,
            );
            if (zero === true) same(await device.read(at, length), new Uint8Array(length));
            at += length;
          }
        }
      }
    },

    async "settles any number of calls at a time"(device) {
      const { block } = device;
      const content = (call: number) => patterned(block * 2, call);
      const calls = Array.from({ length: PARALLEL_CALLS }, (_, call) => call);
      await Promise.all(calls.map((call) => device.write(call * block * 2, content(call))));
      const contents = await Promise.all(calls.map((call) => device.read(call * block * 2, block * 2)));
      for (const call of calls) same(contents[call] as Uint8Array, content(call));
    },

    async "agrees with a plain array over many mixed calls"(device) {
      const { block, opened } = device;
      const model = new Uint8Array(MIN_DEVICE_BYTES);
      await device.write(0, model);
      const random = new SeededRandom(1);
      for (let step = 0; step < MODEL_STEPS; step++) {
        const length = block * (1 + random.below(Math.min(128, MODEL_CALL_BYTES / block)));
        const offset = block * random.below((model.byteLength - length) / block + 1);
        const kind = random.below(4);
        if (kind === 0 && opened.zero !== undefined) {
          await opened.zero(offset, length, { mayTrim: random.below(2) === 0, fast: false });
          model.fill(0, offset, offset + length);
        } else if (kind <= 2) {
          const content = patterned(length, step);
          await device.write(offset, content);
          model.set(content, offset);
        } else if (random.below(8) === 0) {
          await opened.flush?.();
        }
        same(await device.read(offset, length), model.subarray(offset, offset + length));
      }
      same(await device.read(0, model.byteLength), model);
    },

    async "is the same store, with what was flushed, in its next incarnation"(device, incarnations) {
      const { block, opened, size } = device;
      const first = patterned(block * 4, 9);
      await device.write(0, first);
      await device.write(size - block, patterned(block, 10));
      await opened.zero?.(block, block, { mayTrim: true, fast: false });
      if (opened.zero === undefined) await device.write(block, new Uint8Array(block));
      first.fill(0, block, block * 2);
      await opened.flush?.();
      const next = await incarnations.reopen();
      for (const key of ["size", "blockSize", "identity", "fua", "discards"] as const) {
        assert.equal(next.opened[key], opened[key], key);
      }
      for (const key of ["write", "flush", "trim", "zero", "extents"] as const) {
        assert.equal(typeof next.opened[key], typeof opened[key], key);
      }
      if (incarnations.subject.outlives === "nothing") {
        assert.equal(opened.discards, true, "a driver that keeps nothing says so");
        return;
      }
      same(await next.read(0, first.byteLength), first);
      same(await next.read(size - block, block), patterned(block, 10));
    },
  };

/** Bytes that differ from place to place and from seed to seed, none of them zero. */
function patterned(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = 1 + ((at * 7 + (at >> 9) * 13 + seed * 31) % 255);
  return bytes;
}

function same(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  assert.fail(`byte ${at} of ${expected.byteLength} is ${actual[at]}, ${expected[at]} was wanted`);
}
