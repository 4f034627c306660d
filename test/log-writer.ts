/** Writes to a log, sector by sector, and prints each write once the log keeps it: `log-writer.ts PATH FIRST`. Runs until it is killed. */
import { realClock } from "../src/front/clock.ts";
import { MIN_LOG_BYTES, openLog } from "../src/home/disk.ts";
import { newPiece } from "../src/shadow/shadow.ts";
import { GEOMETRY, HeapMemory, SECTOR, SILENT_LOG } from "../src/shadow/testing.ts";

const IN_FLIGHT = 16;
const [path = "", first = "1"] = process.argv.slice(2);
const memory = new HeapMemory(256 << 20);
const limits = { pieces: 1 << 20 };
const { home } = await openLog({ path, size: MIN_LOG_BYTES, memory, limits, clock: realClock, log: SILENT_LOG });
home.remember({ geometry: GEOMETRY, epoch: Number(first), kind: "test" });

let next = Number(first);
function write(): void {
  const id = next++;
  const payload = memory.allocate(SECTOR);
  if (payload === undefined) throw new Error("there is no memory left");
  new DataView(payload.slots[0]?.bytes.buffer as ArrayBuffer).setUint32(0, id, true);
  const place = { offset: id * SECTOR, length: SECTOR, start: 0, note: 0 };
  home.put(newPiece({ ...place, kind: "write", mayTrim: false, payload }));
  home.kept((failed) => {
    process.stdout.write(failed ? "failed\n" : `${id}\n`);
    write();
  });
}
for (let i = 0; i < IN_FLIGHT; i++) write();
