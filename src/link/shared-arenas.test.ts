import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { test } from "node:test";
import { MAX_SLOT_BYTES } from "../block/memory.ts";
import { addSeals, createMemfd, getSeals, SEAL_FUTURE_WRITE, SEAL_SEAL, SEALED_SIZE } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";
import { arenaLayout, MIN_ARENA_BYTES } from "./arena.ts";
import { createKeptArenas, createSharedArenas } from "./shared-arenas.ts";
import { onStage, Stage } from "./testing/stage.ts";

const LIMITS = { writeBytes: 0, readBytes: 0 };
const BYTES = arenaLayout(0).totalBytes;

test("P5: writes that go with the front can't be mapped writable by anybody any more", () => {
  const arenas = createSharedArenas(LIMITS);
  assert.equal(getSeals(arenas.writesFd), SEALED_SIZE | SEAL_FUTURE_WRITE | SEAL_SEAL);
  assert.throws(() => mapShared(arenas.writesFd, 4096, "write"), { code: "EPERM" });
  const again = openSync(`/proc/self/fd/${arenas.writesFd}`, "r+");
  assert.throws(() => mapShared(again, 4096, "write"), { code: "EPERM" });
  closeSync(again);
  arenas.close();
});

test("P5: writes that outlive the front can't be mapped writable by the descriptor that hosts get, nor written to by it", () => {
  const arenas = createKeptArenas(LIMITS);
  arenas.writes.memory[MAX_SLOT_BYTES] = 5;
  assert.throws(() => mapShared(arenas.writesFd, 4096, "write"), { code: "EACCES" });
  assert.throws(() => writeSync(arenas.writesFd, "x", MAX_SLOT_BYTES), { code: "EBADF" });
  assert.equal(fstatSync(arenas.writesFd).mode & 0o777, 0o444);
  assert.equal(getSeals(arenas.writesFd), SEALED_SIZE | SEAL_SEAL);
  assert.throws(() => addSeals(arenas.keptFd, SEAL_FUTURE_WRITE), { code: "EPERM" });
  const mapping = mapShared(arenas.writesFd, BYTES, "read");
  assert.equal(new Uint8Array(mapping.buffer)[MAX_SLOT_BYTES], 5);
  mapping.unmap();
  arenas.close();
});

const LIMIT = { timeout: 20_000 };

/** Writes `misdeed` says what; what it throws is read as the first bytes of the device. */
function misdoing(misdeed: string): string {
  return `
    import * as fs from "node:fs";
    let thrown = "";
    export default { open: () => ({
      size: 4096, flush() {},
      read(offset, into) { into.set(Buffer.from(thrown)); },
      write(offset, from) { try { ${misdeed} } catch (error) { thrown = error.code; } },
    }) };
  `;
}

test("P5: a driver host reads kept writes, and its driver dies of writing to them", LIMIT, () =>
  onStage(new Stage("process", misdoing("from[0] = 1;"), {}, "driver.mjs", { kept: true }), async (stage) => {
    const link = await stage.open(1);
    const slot = stage.memory.writes.allocate(512)?.slots[0];
    slot?.bytes.fill(9);
    link.submit(1, "write", 0, 0, 512, slot?.address ?? 0);
    link.kick();
    const { fault, how } = await stage.recorder.seen("exited", 1);
    assert.deepEqual([fault, how, slot?.bytes[0]], ["signal", "killed by SIGSEGV", 9]);
  }),
);

test("P5: the memory of its own process is no way to kept writes for a driver either", LIMIT, () => {
  const misdeed = `
    const line = fs.readFileSync("/proc/self/maps", "utf8").split("\\n").find((l) => l.includes("skink-writes"));
    if (from[0] !== 9) throw { code: "UNREAD" };
    fs.writeSync(fs.openSync("/proc/self/mem", "r+"), Buffer.from("x"), 0, 1, parseInt(line, 16) + ${MAX_SLOT_BYTES});
  `;
  return onStage(new Stage("process", misdoing(misdeed), {}, "driver.mjs", { kept: true }), async (stage) => {
    const link = await stage.open(1);
    await stage.write(link, 0, Buffer.alloc(4096, 9));
    assert.equal((await stage.read(link, 0, 4096)).toString("latin1", 0, 3), "EIO");
    assert.equal(stage.memory.writes.memory[MAX_SLOT_BYTES], 9);
  });
});

test("writes that were kept are taken up with all that is in them, and reads are made anew", () => {
  const dead = createKeptArenas(LIMITS);
  const payload = dead.writes.allocate(4096);
  payload?.slots[0]?.bytes.fill(7);
  const address = payload?.slots[0]?.address ?? 0;
  const next = createKeptArenas(LIMITS, dead.keptFd);
  const [adopted] = next.writes.adopt([{ address, length: 4096 }]);
  assert.deepEqual(adopted?.slots[0]?.bytes, new Uint8Array(4096).fill(7));
  next.writes.memory[address] = 8;
  assert.equal(dead.writes.memory[address], 8);
  assert.equal(next.writes.shape, dead.writes.shape);
  assert.notEqual(fstatSync(next.readsFd).ino, fstatSync(dead.readsFd).ino);
  for (const fd of [dead.writesFd, dead.readsFd]) closeSync(fd);
  next.close();
});

test("kept memory of another size, or that isn't sealed as it should be, is refused, and stays its owner's", () => {
  const refuse = (fd: number, limitBytes: number, message: RegExp): void => {
    const limits = { writeBytes: limitBytes, readBytes: 0 };
    assert.throws(() => createKeptArenas(limits, fd), { code: "kept-memory", message });
    closeSync(fd);
  };
  refuse(
    createMemfd("test", BYTES),
    MIN_ARENA_BYTES + 1,
    /^Cannot take up .*: it has \d+ bytes, \d+ are wanted by the limits of now$/,
  );
  const sealed = createMemfd("test", BYTES);
  addSeals(sealed, SEAL_FUTURE_WRITE);
  refuse(sealed, 0, /: its seals are others, those of its size and nothing else were wanted$/);
});
