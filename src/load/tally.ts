import type { Wrong } from "./wrong.ts";

const MAX_REMEMBERED_WRONGS = 10;

/** What has come of a load so far. */
export interface LoadTally {
  /** Requests that are over, with an error or without. */
  readonly requests: number;
  /** … of them without, by what was asked; writes are zeroes and trims, too. */
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
  /** Requests that ended in an error, a lost connection among them; the first one, one line. */
  readonly errors: number;
  readonly firstError: string | undefined;
  /** Sectors that held what they should not have, each once until it is rewritten; of them those that a flush had promised. */
  readonly wrong: number;
  readonly flushLies: number;
  /** The first few. */
  readonly wrongs: readonly Wrong[];
  /** The longest time between two requests' ends. Milliseconds. */
  readonly longestGapMs: number;
}

/** A tally that is being counted. */
export class Counts implements LoadTally {
  requests = 0;
  reads = 0;
  writes = 0;
  flushes = 0;
  errors = 0;
  firstError: string | undefined = undefined;
  wrong = 0;
  flushLies = 0;
  readonly wrongs: Wrong[] = [];
  longestGapMs = 0;

  found(wrongs: readonly Wrong[]): void {
    for (const wrong of wrongs) {
      this.wrong++;
      if (wrong.flushed) this.flushLies++;
      if (this.wrongs.length < MAX_REMEMBERED_WRONGS) this.wrongs.push(wrong);
    }
  }
}
