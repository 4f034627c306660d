import { strict as assert } from "node:assert";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { Overlay } from "./overlay.ts";

const SECTOR = 512;
const SECTORS = 64;
const STEPS = 2000;
const BELOW = 255;

test("what was written last is read, and what is below elsewhere", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "skink-overlay-"));
  const fd = openSync(join(folder, "file"), "wx+");
  context.after(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });
  const overlay = new Overlay(fd);
  const expected = Buffer.alloc(SECTORS * SECTOR, BELOW);
  const random = new SeededRandom(1);
  for (let step = 0; step < STEPS; step++) {
    const from = random.below(SECTORS) * SECTOR;
    const length = (1 + random.below(SECTORS - from / SECTOR)) * SECTOR;
    const fill = 1 + random.below(200);
    switch (random.below(4)) {
      case 0:
        overlay.write(from, Buffer.alloc(length, fill));
        expected.fill(fill, from, from + length);
        break;
      case 1:
        overlay.zero(from, length);
        expected.fill(0, from, from + length);
        break;
      default: {
        const found = Buffer.alloc(length, 201);
        overlay.read(from, found, (_offset, into) => into.fill(BELOW));
        assert(found.equals(expected.subarray(from, from + length)), `step ${step}`);
      }
    }
    // Small ones leave many runs.
    if (step % 50 === 0) {
      overlay.write((step % SECTORS) * SECTOR, Buffer.alloc(SECTOR, fill));
      expected.fill(fill, (step % SECTORS) * SECTOR, ((step % SECTORS) + 1) * SECTOR);
    }
  }
});
