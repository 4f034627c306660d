import { ERRNO, type Errno } from "../block/errors.ts";
import type { Extent, Request } from "../block/request.ts";
import type { DeviceCounters } from "./counters.ts";
import type { Digests, Range } from "./digests.ts";
import type { Operation } from "./operation.ts";
import type { Piece } from "./piece-map.ts";
import type { Clock } from "./ports.ts";
import type { Schedule } from "./schedule.ts";
import type { Shadow } from "./shadow.ts";

/** One restart in so long for the sake of lies: a store that is rotten all over isn't made better by many. */
const RESTART_EVERY_MS = 10_000;

/**
 * What is done about a read that found other data than was written: it is read again; the driver is restarted and it is read
 * again; the shadow holds the data, which is written again; or it gets EIO.
 */
export type LieCure = "read again" | "restart" | "repair" | "error";

export interface VerifierPorts {
  readonly digests: Digests;
  readonly clock: Clock;
  readonly shadow: Shadow;
  readonly schedule: Schedule;
  readonly counters: DeviceCounters;
  /** Pieces of which the driver only says that it has executed them. */
  writeAgain(pieces: readonly Piece[]): void;
  /** For "restart", whoever hears this gives the incarnation up. */
  lied(range: Range, cure: LieCure): void;
}

/** Compares what is read with what was written, or read before, and sees to it that no client gets anything else. */
export class Verifier {
  readonly #ports: VerifierPorts;
  #restartedAt = Number.NEGATIVE_INFINITY;

  constructor(ports: VerifierPorts) {
    this.#ports = ports;
  }

  /** A writer is acknowledged: from now on its range holds this. */
  acknowledged({ kind, offset, length, payload }: Request): void {
    this.#holds({ kind, offset, length, payload, start: 0 });
  }

  /** The same of what a front before this one has acknowledged. A trimmed range above all: nothing is learned of it from reads. */
  restored(piece: Readonly<Piece>): void {
    this.#holds(piece);
  }

  /** A writer has failed: its range may hold the old or the new. */
  failed(request: Request): void {
    this.#ports.digests.refused(request);
  }

  /** A reader has completed, without an error. What it is answered, before the shadow has its word; or it is not over yet. */
  verify(operation: Operation, request: Request): Errno | "not yet" {
    if (request.kind === "extents") {
      const corrected = this.#correct(request);
      if (corrected !== undefined && !this.#isExcused(request)) this.#lied(request, "repair");
      request.extents = corrected ?? request.extents;
      return 0;
    }
    const { offset, length, payload } = request;
    if (payload === undefined) return 0;
    const { digests, schedule, counters } = this.#ports;
    // What one says that is on probation nobody takes for granted.
    const wrong = digests
      .check(offset, length, payload, 0, !this.#ports.shadow.doubts)
      .filter((range) => !this.#isShadowed(range));
    const [first] = wrong;
    if (first === undefined) {
      if (operation.lies > 0) counters.curedLies++;
      return 0;
    }
    const cure = this.#cure(wrong, operation.lies++);
    if (cure === "read again") schedule.again(operation);
    this.#lied(first, cure);
    return cure === "error" ? ERRNO.EIO : "not yet";
  }

  #holds({
    kind,
    offset,
    length,
    payload,
    start,
  }: Pick<Piece, "offset" | "length" | "payload" | "start"> & Pick<Request, "kind">): void {
    const { digests } = this.#ports;
    if (kind === "trim") digests.trim(offset, length);
    else if (payload === undefined) digests.zero(offset, length);
    else digests.write(offset, length, payload, start);
  }

  /** What to do about `wrong` blocks. `before`: how often this read has found some. */
  #cure(wrong: readonly Range[], before: number): LieCure {
    const { digests, clock } = this.#ports;
    if (wrong.some(({ offset, length }) => digests.isCondemned(offset, length))) return "error";
    if (before === 0) return "read again";
    const now = clock.now();
    // A refused writer may have torn a block, and that is no lie: not worth a restart, and not to be told from one.
    const isLie = !wrong.some(({ offset, length }) => digests.isDoubtful(offset, length));
    if (isLie && before === 1 && now - this.#restartedAt >= RESTART_EVERY_MS) {
      this.#restartedAt = now;
      return "restart";
    }
    for (const { offset, length } of wrong) digests.condemn(offset, length);
    return "error";
  }

  /**
   * Whether the shadow holds all of a range that was read wrongly, so that the client gets the right data; what the driver had
   * executed of it is then written once more. (What it could not take, or may have lost with a failed flush, isn't a lie.)
   */
  #isShadowed(range: Range): boolean {
    const { offset, length } = range;
    const { shadow } = this.#ports;
    const pieces = shadow.overlapping(offset, length);
    let covered = 0;
    for (const piece of pieces) {
      covered += Math.min(piece.offset + piece.length, offset + length) - Math.max(piece.offset, offset);
    }
    if (covered < length) return false;
    const executed = pieces.filter((piece) => piece.refused === 0 && shadow.isExecuted(piece));
    if (executed.length === 0) return true;
    this.#ports.writeAgain(executed);
    this.#lied(range, "repair");
    return true;
  }

  /** Whether there is something in the range that the driver could not take, or may have lost with a failed flush. */
  #isExcused({ offset, length }: Range): boolean {
    const { shadow } = this.#ports;
    return shadow.overlapping(offset, length).some((piece) => piece.refused !== 0 || !shadow.isExecuted(piece));
  }

  /** Extents that call zeroes what isn't: data everywhere is always a safe answer. `undefined` if they may be right. */
  #correct({ offset, length, extents }: Request): readonly Extent[] | undefined {
    let at = offset;
    for (const extent of extents ?? []) {
      if (extent.zero && this.#ports.digests.contradictsZeroes(at, extent.length)) {
        return [{ length, hole: false, zero: false }];
      }
      at += extent.length;
    }
    return undefined;
  }

  #lied(range: Range, cure: LieCure): void {
    const { counters } = this.#ports;
    counters.lies++;
    if (cure === "repair") counters.curedLies++;
    this.#ports.lied(range, cure);
  }
}
