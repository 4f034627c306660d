import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { interrupted } from "./interrupted.ts";
import type { RecordedDisk } from "./recorded-disk.ts";
import type { CrashState } from "./state.ts";

/** Read and written at a time; where it is all zeroes, a hole is left. */
const PIECE_BYTES = 64 << 10;
/** After so much signals are looked for. */
const BREATH_BYTES = 16 << 20;
const ZEROES = Buffer.alloc(PIECE_BYTES);

/**
 * Writes a state into a new image file. Rejects with `bad-usage` where there is such a file, with `interrupted` where it was told to
 * end; then there is none.
 */
export async function writeImage(
  disk: RecordedDisk,
  state: CrashState,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  let fd: number;
  try {
    fd = openSync(path, "wx");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const what = code === "EEXIST" ? "it is there already, a new file was wanted" : `${message}, a new file was wanted`;
    throw new SkinkError("bad-usage", `Cannot write the image ${path}: ${what}`, { cause: error });
  }
  try {
    ftruncateSync(fd, disk.size);
    const piece = Buffer.alloc(PIECE_BYTES);
    for (let offset = 0; offset < disk.size; offset += PIECE_BYTES) {
      const bytes = piece.subarray(0, Math.min(PIECE_BYTES, disk.size - offset));
      disk.read(state, offset, bytes);
      if (offset % BREATH_BYTES === 0) await nextTurn();
      if (signal.aborted) throw interrupted();
      if (bytes.equals(ZEROES.subarray(0, bytes.length))) continue;
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
    }
  } catch (error) {
    rmSync(path, { force: true });
    if (signal.aborted) throw error;
    throw new SkinkError("image", `Cannot write the image ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}
