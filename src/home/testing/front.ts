/**
 * A front as a process, to be killed: takes up the memory of writes (descriptor 3) and the ledger (4), and acknowledges writes of the
 * script without an end, from the one after that in the progress (5, a float64) on, where it says so.
 */
import { createKeptArenas } from "../../link/shared-arenas.ts";
import { mapShared } from "../../os/mmap.ts";
import { dieWithParent } from "../../os/parent-death.ts";
import { Operation } from "../../shadow/operation.ts";
import { Shadow } from "../../shadow/shadow.ts";
import { newRequest } from "../../shadow/testing.ts";
import { takeUpSharedHome } from "../shared-ledger.ts";
import { BLOCK, scriptedWrite } from "./script.ts";

const SIGKILL = 9;
const PIECES = 1000;
const SECTORS = BLOCK / 512;

if (dieWithParent(SIGKILL) !== process.ppid) process.exit(1);
const { writes } = createKeptArenas({ writeBytes: 0, readBytes: 0 }, 3);
const { home, remains } = takeUpSharedHome(4, writes, PIECES);
const progress = new Float64Array(mapShared(5, 8, "write").buffer);
const shadow = new Shadow({ home, release: (payload) => writes.release(payload), released: () => {} }, true);
shadow.restore(remains.pieces);

for (let number = (progress[0] ?? 0) + 1; ; number++) {
  const { at, blocks, durable } = scriptedWrite(number);
  const request = newRequest("write", at * SECTORS, blocks * SECTORS, { fua: durable }, () => {});
  const payload = writes.allocate(blocks * BLOCK);
  if (payload === undefined) throw new Error("the arena is full");
  const numbers = new Float64Array(payload.slots[0]?.bytes.buffer as ArrayBuffer, payload.slots[0]?.address);
  for (let block = 0; block < blocks; block++) numbers[(block * BLOCK) / 8] = number;
  request.payload = payload;
  shadow.acknowledge(Operation.forRequest(request, number), durable);
  writes.release(payload);
  progress[0] = number;
}
