import { writeSync } from "node:fs";
import { canWrite } from "../os/poll.ts";

const STDERR = 2;
/** What a pipe that can be written to surely takes. */
const MAX_LINE_BYTES = 4096;

/**
 * Writes a line to stderr, if that is possible now. What is lost is a line: a full disk, or a reader that has gone or stands still, neither
 * ends nor stops a guard.
 */
export function say(line: string): void {
  try {
    if (canWrite(STDERR)) writeSync(STDERR, Buffer.from(`${line}\n`).subarray(0, MAX_LINE_BYTES));
  } catch {
    // There is nobody else to tell.
  }
}
