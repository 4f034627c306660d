import type { DriverExtent } from "../../block/driver.ts";
import { SkinkError } from "../../block/errors.ts";
import { discardBlocks, zeroBlocks } from "../../os/block-device.ts";
import { punchHole, seekData, seekHole, zeroRange } from "../../os/holes.ts";
import { writeZeroes } from "./transfer.ts";

/** A list of extents ends here at the latest: each costs two system calls. */
const MAX_EXTENTS = 1024;
/** How much of a block device is zeroed at a time, with the event loop getting its turn in between. Bytes. */
const ZERO_STEP_BYTES = 16 << 20;

/** Gives the range back to the file system. A store that can't keeps its contents, which a trim allows. */
export function trimFile(fd: number, offset: number, length: number): void {
  isSupported(() => punchHole(fd, offset, length));
}

export function trimBlockDevice(fd: number, offset: number, length: number): void {
  isSupported(() => discardBlocks(fd, offset, length));
}

/** `mayTrim` leaves a hole; without it the range stays, or becomes, allocated. Throws ENOTSUP if `fast` and it isn't. */
export function zeroFile(
  fd: number,
  offset: number,
  length: number,
  { mayTrim, fast }: { readonly mayTrim: boolean; readonly fast: boolean },
): void | Promise<void> {
  if (mayTrim && isSupported(() => punchHole(fd, offset, length))) return;
  if (isSupported(() => zeroRange(fd, offset, length))) return;
  if (fast) throw notFast();
  return writeZeroes(fd, offset, length);
}

/** The kernel zeroes by the device's own means where it has some, else by writing, which is never `fast`. */
export async function zeroBlockDevice(
  fd: number,
  offset: number,
  length: number,
  { mayTrim, fast }: { readonly mayTrim: boolean; readonly fast: boolean },
): Promise<void> {
  // On a block device punching a hole never falls back to writing, so it tells whether it is fast.
  if (mayTrim && isSupported(() => punchHole(fd, offset, length))) return;
  if (fast) throw notFast();
  for (let done = 0; done < length; done += ZERO_STEP_BYTES) {
    zeroBlocks(fd, offset + done, Math.min(length - done, ZERO_STEP_BYTES));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * The data and the holes of a range, in whole blocks: a block with any data is data. What was zeroed without a hole
 * counts as one until it is written, as the file system itself sees it.
 */
export function extentsOf(fd: number, offset: number, length: number, blockSize: number): DriverExtent[] {
  const extents: DriverExtent[] = [];
  const end = offset + length;
  let at = offset;
  while (at < end && extents.length < MAX_EXTENTS) {
    const found = seekData(fd, at);
    const data = found === undefined ? end : Math.min(found - (found % blockSize), end);
    if (found === undefined || data > at) {
      extents.push({ length: data - at, hole: true, zero: true });
      at = data;
      continue;
    }
    const hole = seekHole(fd, found) ?? end;
    const until = Math.min(Math.ceil(hole / blockSize) * blockSize, end);
    extents.push({ length: until - at });
    at = until;
  }
  return extents;
}

/** Whether the store can; throws what else went wrong. */
function isSupported(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EOPNOTSUPP" || code === "ENOSYS") return false;
    throw error;
  }
}

function notFast(): SkinkError {
  return new SkinkError("ENOTSUP", "Cannot zero fast: the store has no means of its own");
}
