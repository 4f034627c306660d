import assert from "node:assert/strict";
import { test } from "node:test";
import type { OpenedDevice } from "../block/driver.ts";
import { Executor } from "./executor.ts";
import { Views } from "./views.ts";

const PAGE_BYTES = 4096;
const SECTOR_BYTES = 512;

test("a driver is handed the memory that was asked for, wherever in a page it begins", () => {
  const writes = Uint8Array.from({ length: 4 * PAGE_BYTES }, (_, at) => at / SECTOR_BYTES);
  const seen: number[] = [];
  const device: OpenedDevice = {
    size: 1 << 20,
    read() {},
    write: (_offset, from) => void seen.push(from[0] as number),
    flush() {},
  };
  const executor = new Executor(
    device,
    SECTOR_BYTES,
    new Views(writes),
    new Views(new Uint8Array(PAGE_BYTES)),
    () => {},
  );
  const sectors = [8, 11, 8, 11, 9, 8, 16, 8];
  for (const sector of sectors) executor.execute(0, "write", 0, 0, SECTOR_BYTES, sector * SECTOR_BYTES);
  assert.deepEqual(seen, sectors);
});
