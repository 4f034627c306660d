import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ERRNO } from "../../block/errors.ts";
import { decodeExtents } from "../../block/extents.ts";
import type { Payload } from "../../block/memory.ts";
import { SUBMIT_FAST, SUBMIT_FUA, SUBMIT_MAY_TRIM } from "../../shadow/ports.ts";
import { type LinkKind, onStage, Stage } from "./stage.ts";

const LIMIT = { timeout: 20_000 };

/** A driver that keeps its blocks in kept memory; its errors and promises are asked for by offset. */
const MEMORY = `
  import { defineDriver } from "skink/driver";
  const fail = (code: string) => { throw Object.assign(new Error(code), { code }); };
  export default defineDriver({
    open(options, context) {
      const memory = context.keep("blocks", 1 << 20);
      const calls: string[] = [];
      return {
        size: (1 << 20) + 100, blockSize: 4096, identity: options.identity ?? "i", fua: true,
        read(offset, into) { into.set(memory.subarray(offset, offset + into.length)); },
        async write(offset, from, { fua }) {
          if (offset === 4096) fail("ENOSPC");
          if (offset === 8192) throw "no error at all";
          memory.set(from, offset);
          if (fua) memory[offset] = 0xfa;
        },
        flush() { fail("EOPNOTSUPP"); },
        trim(offset, length) { memory.fill(0xee, offset, offset + length); },
        async zero(offset, length, { mayTrim, fast }) {
          memory.fill(mayTrim ? 1 : fast ? 2 : 0, offset, offset + length);
        },
        extents(offset, length) {
          if (offset === 0) return [{ length: 4096, hole: true, zero: true }, { length }];
          if (offset === 4096) return [{ length: 100 }, { length: 100 }];
          return offset === 8192 ? [] : (undefined as never);
        },
        close() { memory[0] = 0xcc; },
      };
    },
  });
`;

/** What there is to be known of a driver's life: signs that it gives itself, and a process that the machine tells of. */
const LIFE: Readonly<Record<LinkKind, { readonly beats: boolean; readonly process: boolean }>> = {
  process: { beats: true, process: true },
  // Where it hangs, so does the front.
  inline: { beats: false, process: false },
  // A server is asked nothing but what clients ask.
  nbd: { beats: false, process: true },
};

/** What every link does alike, whatever is behind it: the same events, in the same order, for the same calls. */
export function linkCompliance(kind: LinkKind): void {
  const claim = (name: string, text: string, body: (stage: Stage) => Promise<void>) =>
    test(`${kind}: ${name}`, LIMIT, () => onStage(new Stage(kind, text), body));

  claim("a driver is known by what it says when it opens", MEMORY, async (stage) => {
    await stage.open(1);
    const { info } = await stage.recorder.seen("opened", 1);
    assert.deepEqual(info, {
      geometry: {
        size: 1 << 20,
        blockSize: 4096,
        ...(kind === "nbd" ? { preferredBlockSize: 4096 } : {}),
        readOnly: false,
        fua: true,
        trim: true,
        zero: true,
        extents: true,
      },
      // NBD names exports, not stores.
      identity: kind === "nbd" ? undefined : "i",
      discards: false,
    });
  });

  claim("what is written is read, in later incarnations too", MEMORY, async (stage) => {
    const data = Buffer.alloc(8192, "skink");
    const first = await stage.open(1);
    assert.deepEqual(await stage.write(first, 65536, data), { errno: 0, count: 8192 });
    assert.deepEqual(await stage.read(first, 65536, 8192), data);
    stage.incarnations.kill(1);
    await stage.recorder.seen("exited", 1);
    assert.deepEqual(await stage.read(await stage.open(2), 65536, 8192), data);
  });

  claim("each operation reaches its method with its flags, and errors come back as numbers", MEMORY, async (stage) => {
    const link = await stage.open(1);
    const payload = stage.memory.writes.allocate(4096) as Payload;
    payload.slots[0]?.bytes.fill(7);
    const address = payload.slots[0]?.address ?? 0;
    link.submit(1, "write", SUBMIT_FUA, 0, 4096, address);
    link.submit(2, "write", 0, 4096, 4096, address);
    link.submit(3, "write", 0, 8192, 4096, address);
    link.submit(4, "flush", 0, 0, 0, 0);
    link.submit(5, "trim", 0, 12288, 4096, 0);
    link.submit(6, "zero", SUBMIT_MAY_TRIM, 16384, 4096, 0);
    link.submit(7, "zero", SUBMIT_FAST, 20480, 4096, 0);
    link.submit(8, "zero", 0, 24576, 4096, 0);
    assert.deepEqual(stage.recorder.story(), ["opened 1"], "nothing is answered from inside the call");
    link.kick();
    const answers = [];
    for (let tag = 1; tag <= 8; tag++) answers.push(await stage.recorder.completion(1, tag));
    assert.deepEqual(
      answers.map(({ errno, count }) => [errno, count]),
      [
        [0, 4096],
        [ERRNO.ENOSPC, 0],
        [ERRNO.EIO, 0],
        [ERRNO.ENOTSUP, 0],
        [0, 0],
        [0, 0],
        [0, 0],
        [0, 0],
      ],
    );
    const blocks = await stage.read(link, 0, 28672);
    assert.deepEqual(
      [0, 1, 12288, 16384, 20480, 24576].map((at) => blocks[at]),
      [0xfa, 7, 0xee, 1, 2, 0],
    );
    assert.equal(stage.recorder.events.at(-1)?.kind, "settled");
    stage.memory.writes.release(payload);
  });

  claim("extents arrive encoded, and a list that is none is EIO", MEMORY, async (stage) => {
    const link = await stage.open(1);
    const payload = stage.memory.reads.allocate(65536) as Payload;
    const slot = payload.slots[0];
    assert(slot !== undefined);
    for (const [tag, offset] of [0, 4096, 8192, 12288].entries())
      link.submit(tag, "extents", 0, offset, 65536, slot.address);
    link.kick();
    const { errno, count } = await stage.recorder.completion(1, 0);
    assert.equal(errno, 0);
    assert.deepEqual(decodeExtents(slot.bytes.subarray(0, count), 65536, 4096), [
      { length: 4096, hole: true, zero: true },
      { length: 61440, hole: false, zero: false },
    ]);
    for (const tag of [1, 2, 3])
      assert.deepEqual(await stage.recorder.completion(1, tag), { errno: ERRNO.EIO, count: 0 });
    stage.memory.reads.release(payload);
  });

  claim("closing lets what is in flight settle, closes the driver, and ends well", SLOW, async (stage) => {
    const link = await stage.open(1);
    link.submit(1, "flush", 0, 0, 0, 0);
    link.submit(2, "flush", 0, 0, 0, 0);
    link.kick();
    stage.incarnations.close(1);
    const { fault, how } = await stage.recorder.seen("exited", 1);
    assert.match(how, /^exit code 0/);
    assert.equal(fault, "exit");
    assert.deepEqual(stage.recorder.story(), ["opened 1", "completed 1 1", "completed 1 2", "exited 1"]);
    assert.equal((await stage.read(await stage.open(2), 0, 512))[0], 0xcc);
  });

  claim("after a kill nothing is heard but the end", SLOW, async (stage) => {
    const link = await stage.open(1);
    link.submit(1, "flush", 0, 0, 0, 0);
    link.kick();
    stage.incarnations.kill(1);
    stage.incarnations.kill(1);
    const { fault, how } = await stage.recorder.seen("exited", 1);
    assert.match(how, /^killed by SIGKILL/);
    assert.equal(fault, "killed");
    assert.deepEqual(stage.recorder.story(), ["opened 1", "exited 1"]);
  });

  claim(
    LIFE[kind].beats
      ? "a ping is answered by another beat, and so is work"
      : "a ping does nothing, for there is no beat",
    SLOW,
    async (stage) => {
      assert.equal(stage.incarnations.beat(1), undefined);
      stage.incarnations.ping(1);
      const link = await stage.open(1);
      if (!LIFE[kind].beats) {
        stage.incarnations.ping(1);
        assert.equal(stage.incarnations.beat(1), undefined);
        return;
      }
      for (const ask of [() => stage.incarnations.ping(1), () => void stage.read(link, 0, 512)]) {
        const before = stage.incarnations.beat(1);
        ask();
        while (stage.incarnations.beat(1) === before) await nextTurn();
      }
    },
  );

  claim(
    LIFE[kind].process
      ? "the machine tells whether the driver's process is suspended, and what it takes"
      : "of a driver that has no process of its own nothing is known",
    SLOW,
    async (stage) => {
      const { incarnations } = stage;
      assert.deepEqual([incarnations.vitals(1), incarnations.usage(1)], [undefined, undefined]);
      await stage.open(1);
      const pid = incarnations.pid(1);
      if (!LIFE[kind].process) {
        assert.deepEqual([pid, incarnations.vitals(1), incarnations.usage(1)], [undefined, undefined, undefined]);
        return;
      }
      assert(pid !== undefined);
      assert.equal(incarnations.vitals(1)?.suspended, false);
      const usage = incarnations.usage(1);
      assert(usage !== undefined && usage.residentBytes > 1 << 20 && usage.openFiles > 3);
      process.kill(pid, "SIGSTOP");
      while (incarnations.vitals(1)?.suspended !== true) await nextTurn();
      incarnations.kill(1);
      assert.equal((await stage.recorder.seen("exited", 1)).fault, "killed");
      assert.deepEqual([incarnations.vitals(1), incarnations.usage(1)], [undefined, undefined]);
    },
  );

  claim(
    "an open that never settles can be killed",
    "export default { open: () => new Promise(() => {}) }",
    async (s) => {
      s.start(1);
      s.incarnations.kill(1);
      await s.recorder.seen("exited", 1);
      assert.deepEqual(s.recorder.story(), ["exited 1"]);
    },
  );
}

/** A driver whose flush takes a few turns of the event loop. */
const SLOW = `
  export default {
    open(options: object, context: { signal: AbortSignal, keep(name: string, bytes: number): Uint8Array }) {
      const memory = context.keep("blocks", 4096);
      let flushes = 0;
      return {
        size: 4096,
        read(offset: number, into: Uint8Array) { into.set(memory.subarray(offset, offset + into.length)); },
        write() {},
        async flush() {
          for (let i = 0; i < 20; i++) await new Promise(setImmediate);
          flushes++;
        },
        close() { if (flushes === 2 && context.signal.aborted) memory[0] = 0xcc; },
      };
    },
  };
`;
