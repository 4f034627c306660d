/** The log of a front that is killed in the middle of its work. */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { slotBytes } from "../src/block/memory.ts";
import { realClock } from "../src/front/clock.ts";
import { openLog } from "../src/home/disk.ts";
import { HeapMemory, SECTOR, SILENT_LOG } from "../src/shadow/testing.ts";

const WRITER = fileURLToPath(new URL("log-writer.ts", import.meta.url));
const ROUNDS = 4;
const WRITES_A_ROUND = 400;

test("what the log of a killed process kept is there, round after round, and nothing else", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skink-log-"));
  const path = join(folder, "disk.log");
  try {
    let last = 0;
    for (let round = 0; round < ROUNDS; round++) {
      last = await writeUntilKilled(path, last + 1, WRITES_A_ROUND + 37 * round);
      last = await foundIn(path, last);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The last write that was told to be kept, of at least `count`. */
async function writeUntilKilled(path: string, first: number, count: number): Promise<number> {
  const writer = spawn(process.execPath, [WRITER, path, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(writer, "exit");
  let kept = first - 1;
  for await (const line of createInterface(writer.stdout)) {
    kept = Number(line);
    assert.ok(Number.isInteger(kept), `the writer says ${line}`);
    if (kept >= first + count) writer.kill("SIGKILL");
  }
  const [, signal] = await exited;
  assert.equal(signal, "SIGKILL");
  return kept;
}

/** Checks that all up to `kept` is there; returns the last one that is. */
async function foundIn(path: string, kept: number): Promise<number> {
  const memory = new HeapMemory(256 << 20);
  const opened = await openLog({ path, memory, limits: { pieces: 1 << 20 }, clock: realClock, log: SILENT_LOG });
  let expected = 1;
  for (const { offset, length, payload, start } of opened.remains.pieces) {
    assert(payload !== undefined);
    for (let at = 0; at < length; at += SECTOR) {
      const bytes = slotBytes(payload, start + at, SECTOR);
      const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      assert.deepEqual([offset + at, id], [expected * SECTOR, expected]);
      expected++;
    }
  }
  assert.ok(expected > kept, `write ${expected} is not there, though ${kept} was kept`);
  await opened.close();
  return expected - 1;
}
