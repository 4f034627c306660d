/**
 * Rules of the link that a driver's process can break (P5). No driver does it by its interface: these reach for the
 * host's own ring, and for the descriptors that join it with the front.
 */
import { writeSync } from "node:fs";
import { CONTROL_FD, DOORBELL_FD } from "../src/link/control.ts";
import { RING_DEPTH } from "../src/link/ring.ts";
import { type Complete, rewriteCompletions } from "../src/torture/tamper/completions.ts";

/** More than a small load has outstanding; few enough that none which the front has still to take is overwritten. */
const TOO_MANY = RING_DEPTH / 2;
const UNUSED_TAG = 0xffff_fff0;
const NO_ERROR_NUMBER = 4095;
/** One `write` of so many rings the doorbell as often. */
const FLOOD = "!".repeat(4096);

export type Rule = keyof typeof BROKEN_RULES;

export const BROKEN_RULES = {
  "unknown-tag": () => nextCompletion((complete) => complete(UNUSED_TAG, 0, 0)),
  "unknown-error": () => nextCompletion((complete, tag) => complete(tag, NO_ERROR_NUMBER, 0)),
  "wrong-length": () => nextCompletion((complete, tag, errno, count) => complete(tag, errno, count + 512)),
  "ring-position": () =>
    nextCompletion((complete, tag, errno, count) => {
      for (let times = 0; times < TOO_MANY; times++) complete(tag, errno, count);
    }),
  doorbell: () => {
    for (;;) tryToWrite(DOORBELL_FD, FLOOD);
  },
  "control-message": () => tryToWrite(CONTROL_FD, "nonsense\n"),
};

/** Has the next completion written in another way. */
function nextCompletion(write: (complete: Complete, tag: number, errno: number, count: number) => void): void {
  const restore = rewriteCompletions((complete, tag, errno, count) => {
    restore();
    write(complete, tag, errno, count);
  });
}

/** The front may be slow to read, and what it doesn't take isn't needed. */
function tryToWrite(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
  }
}
