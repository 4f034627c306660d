/**
 * What each sector may hold, from the requests of many clients at once. Each write has a number of its own, with
 * which it stamps its sectors:
 *
 *   0        4        8                     512
 *   | number | sector | number | sector | … |      little-endian
 */
export const SECTOR_BYTES = 512;

const STAMP_WORDS = 2;
const SECTOR_WORDS = SECTOR_BYTES / 4;
const NEVER = Number.POSITIVE_INFINITY;

export type Content = "stamp" | "zeroes" | "unspecified";

/** A writer request. */
export interface Change {
  readonly number: number;
  readonly content: Content;
  readonly sector: number;
  readonly count: number;
  readonly startedAt: number;
  endedAt: number;
}

interface Candidate {
  readonly change: Change;
  /** From then on every read finds something newer: a later change has been acknowledged. */
  overwrittenAt: number;
}

/**
 * The rule: a read may find a change unless another one, which began after that one had been acknowledged, was
 * acknowledged itself before the read began. No sector is ever a mixture.
 */
export class SectorHistory {
  readonly #sectors: Candidate[][];
  readonly #reads = new Set<number>();
  /** Counts events: the order of things, as the clients saw it. */
  #now = 1;
  #changes = 0;

  constructor(sectors: number) {
    const initial: Change = { number: 0, content: "zeroes", sector: 0, count: sectors, startedAt: 0, endedAt: 0 };
    this.#sectors = Array.from({ length: sectors }, () => [{ change: initial, overwrittenAt: NEVER }]);
  }

  /** A change is about to be asked for. */
  begin(content: Content, sector: number, count: number): Change {
    const change = { number: ++this.#changes, content, sector, count, startedAt: this.#now++, endedAt: NEVER };
    for (let at = sector; at < sector + count; at++) this.#at(at).push({ change, overwrittenAt: NEVER });
    return change;
  }

  /** The bytes that a change with stamps writes. */
  stamped(change: Change): Uint8Array {
    const words = new Uint32Array(change.count * SECTOR_WORDS);
    for (let at = 0; at < words.length; at += STAMP_WORDS) {
      words[at] = change.number;
      words[at + 1] = change.sector + Math.floor(at / SECTOR_WORDS);
    }
    return new Uint8Array(words.buffer);
  }

  /** The change is acknowledged. */
  end(change: Change): void {
    change.endedAt = this.#now++;
    const oldestRead = Math.min(NEVER, ...this.#reads);
    for (let at = change.sector; at < change.sector + change.count; at++) {
      const candidates = this.#at(at);
      for (const candidate of candidates) {
        if (candidate.change.endedAt < change.startedAt && candidate.overwrittenAt === NEVER) {
          candidate.overwrittenAt = change.endedAt;
        }
      }
      this.#sectors[at] = candidates.filter(
        ({ overwrittenAt }) => overwrittenAt === NEVER || overwrittenAt > oldestRead,
      );
    }
  }

  /** A read is about to be asked for. Returns what `endRead` wants to know. */
  beginRead(): number {
    const startedAt = this.#now++;
    this.#reads.add(startedAt);
    return startedAt;
  }

  /** The read will not be checked. */
  abandonRead(startedAt: number): void {
    this.#reads.delete(startedAt);
  }

  /** A read's reply. Throws an error that says which sector is wrong, and how. */
  endRead(startedAt: number, sector: number, bytes: Uint8Array): void {
    this.#reads.delete(startedAt);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    for (let at = 0; at * SECTOR_WORDS < words.length; at++) {
      this.#check(startedAt, sector + at, words.subarray(at * SECTOR_WORDS, (at + 1) * SECTOR_WORDS));
    }
  }

  #check(startedAt: number, sector: number, words: Uint32Array): void {
    const allowed = this.#at(sector).filter(({ overwrittenAt }) => overwrittenAt > startedAt);
    if (allowed.some(({ change }) => holds(words, change, sector))) return;
    const wanted = allowed.map(({ change }) => describe(change)).join(" or ");
    const isMixed = words.some((word, at) => word !== words[at % STAMP_WORDS]);
    const found = isMixed ? "a mixture" : `the stamp of change ${words[0]} in sector ${words[1]}`;
    throw new Error(`Sector ${sector} holds ${found}; ${wanted} was wanted`);
  }

  #at(sector: number): Candidate[] {
    return this.#sectors[sector] as Candidate[];
  }
}

function holds(words: Uint32Array, change: Change, sector: number): boolean {
  if (change.content === "unspecified") return true;
  const [number, place] = change.content === "zeroes" ? [0, 0] : [change.number, sector];
  return words.every((word, at) => word === (at % STAMP_WORDS === 0 ? number : place));
}

function describe(change: Change): string {
  return change.content === "stamp" ? `change ${change.number}` : `the zeroes of change ${change.number}`;
}
