import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { SkinkError } from "../block/errors.ts";
import type { RecordedDisk } from "./recorded-disk.ts";
import type { CrashState } from "./state.ts";

/** Read and written at a time; where it is all zeroes, a hole is left. */
const PIECE_BYTES = 64 << 10;
const ZEROES = Buffer.alloc(PIECE_BYTES);

/** Writes a state into a new image file. Throws `bad-usage` where there is such a file. */
export function writeImage(disk: RecordedDisk, state: CrashState, path: string): void {
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
      if (bytes.equals(ZEROES.subarray(0, bytes.length))) continue;
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
    }
  } catch (error) {
    rmSync(path, { force: true });
    throw new SkinkError("image", `Cannot write the image ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}
