import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, ftruncateSync } from "node:fs";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Arena } from "../link/arena.ts";
import { createKeptArenas, type KeptArenas } from "../link/shared-arenas.ts";
import { createMemfd, getSeals, SEAL_SEAL, SEALED_SIZE } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";
import { GEOMETRY } from "../shadow/testing.ts";
import { createSharedHome, type SharedHome, takeUpSharedHome } from "./shared-ledger.ts";
import { Cells } from "./shm/cells.ts";
import { ledgerBytes, takeUpShmHome } from "./shm/shm-home.ts";
import { BLOCK, BLOCKS, heldAfter } from "./testing/script.ts";

const FRONT = fileURLToPath(new URL("testing/front.ts", import.meta.url));
const LIMITS = { writeBytes: 0, readBytes: 0 };
const PIECES = 1000;
const LIVES = 6;

test("a ledger can't be resized", () => {
  const arenas = createKeptArenas(LIMITS);
  const shared = createSharedHome(arenas.writes, PIECES);
  assert.equal(getSeals(shared.ledgerFd), SEALED_SIZE | SEAL_SEAL);
  assert.throws(() => ftruncateSync(shared.ledgerFd, 0), { code: "EPERM" });
  shared.close();
  arenas.close();
});

test("memory that holds no ledger is refused, and stays its owner's", () => {
  const arenas = createKeptArenas(LIMITS);
  const fd = createMemfd("test", 1 << 20);
  assert.throws(() => takeUpSharedHome(fd, arenas.writes, PIECES), { code: "ledger-damaged" });
  closeSync(fd);
  arenas.close();
});

test("what a front that is killed at any moment has acknowledged is found by the next one, again and again", async () => {
  const arenas = createKeptArenas(LIMITS);
  const shared = createSharedHome(arenas.writes, PIECES);
  shared.home.remember({ geometry: GEOMETRY, epoch: 1, kind: "test" });
  const progressFd = createMemfd("progress", 8);
  const mapping = mapShared(progressFd, 8, "read");
  const progress = new Float64Array(mapping.buffer);
  for (let life = 0; life < LIVES; life++) {
    const stdio = ["ignore", "inherit", "inherit", arenas.keptFd, shared.ledgerFd, progressFd] as const;
    const front = spawn(process.execPath, [FRONT], { stdio: [...stdio] });
    const exited = once(front, "exit");
    const target = (progress[0] ?? 0) + 1000 + 7919 * life;
    while ((progress[0] ?? 0) < target && front.exitCode === null) await setImmediate();
    front.kill("SIGKILL");
    assert.deepEqual(await exited, [null, "SIGKILL"]);

    const acknowledged = progress[0] ?? 0;
    const found = held(arenas, shared);
    const [before, after] = [heldAfter(acknowledged), heldAfter(acknowledged + 1)];
    for (const [block, number] of found.entries())
      assert(number === before[block] || number === after[block], `block ${block}: ${number} after ${acknowledged}`);
  }
  mapping.unmap();
  closeSync(progressFd);
  shared.close();
  arenas.close();
});

/** What the home holds of each block, as a front sees it that has nothing but the shared memory. */
function held({ writes }: KeptArenas, { ledgerFd }: SharedHome): number[] {
  const { buffer, unmap } = mapShared(ledgerFd, ledgerBytes(PIECES), "write");
  const { remains } = takeUpShmHome(new Cells(buffer), new Arena(writes.layout, writes.memory), PIECES);
  const numbers: number[] = new Array(BLOCKS).fill(0);
  for (const { offset, length, payload, start } of remains.pieces) {
    for (let at = 0; at < length; at += BLOCK) {
      const bytes = payload?.slots[0]?.bytes.subarray(start + at) as Uint8Array;
      numbers[(offset + at) / BLOCK] = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true);
    }
  }
  unmap();
  return numbers;
}
