import { isWriter, type RequestKind } from "../block/request.ts";
import { GARBAGE, ZEROES } from "./content.ts";
import type { Store } from "./store.ts";
import { Violation } from "./violation.ts";

/** One request of a simulated client, all its life. Sectors, not bytes. */
export interface Entry {
  /** Also the id that its sectors carry if it is a write. */
  readonly id: number;
  readonly kind: RequestKind;
  readonly first: number;
  readonly count: number;
  readonly fua: boolean;
  readonly mayTrim: boolean;
  readonly fast: boolean;
  /** Place in the order in which the device took the requests; 0 before that. */
  arrival: number;
  /** Place in the order of events: when the device answered; 0 before that. */
  repliedAt: number;
  arrivedAt: number;
  errno: number | undefined;
}

/** With many more contents than so many a front may take any for right. */
const MAX_KNOWABLE = 8;

/** What may stand in a sector. */
type Allowed = "anything" | number[];

/**
 * What the device was asked and what it answered, with all that the promises say about it. The order of arrival is
 * known exactly, because the device is watched where the sessions hand it their requests.
 */
export class History {
  /** An acknowledged FUA request overlapped an acknowledged writer that no flush had covered. */
  fuaOverlaps = 0;
  /** Crashes after the first of these. */
  crashesAfterFuaOverlap = 0;
  /** Who answers acknowledges flushes and makes nothing durable: its word binds nobody. */
  fooled = false;
  /** Drivers lie, and of what nothing is known of, nobody can tell: a trimmed sector may read as garbage. */
  garbled = false;
  /** Sectors that the driver has written otherwise than it said: what is on the medium there binds nobody. */
  readonly spoilt = new Set<number>();
  readonly #store: Store;
  readonly #sheltered: () => (sector: number) => boolean;
  /** Writers of each sector in order of arrival. */
  readonly #writers: Entry[][];
  /** The newest writer of each sector that has to be durable. */
  readonly #baseline: (Entry | undefined)[];
  /** What a read has shown to have become of writers that no front has answered, and will. */
  readonly #shown = new Set<Entry>();
  /** Of those that arrived up to here, who isn't answered never will be: the front that had them is dead. */
  #lostUntil = 0;
  /** The same of the front before that. */
  #lostBefore = 0;
  #arrivals = 0;
  #events = 0;

  /** `sheltered`: the sectors that don't depend on the store, since a home keeps them that survives a power cut. */
  constructor(store: Store, sheltered: () => (sector: number) => boolean = () => () => false) {
    this.#store = store;
    this.#sheltered = sheltered;
    this.#writers = Array.from({ length: store.sectors }, () => []);
    this.#baseline = new Array(store.sectors).fill(undefined);
  }

  /** The last event's place in their order. */
  get events(): number {
    return this.#events;
  }

  arrived(entry: Entry): void {
    entry.arrival = ++this.#arrivals;
    entry.arrivedAt = ++this.#events;
    if (!isWriter(entry.kind)) return;
    for (let sector = entry.first; sector < entry.first + entry.count; sector++) this.#writers[sector]?.push(entry);
  }

  replied(entry: Entry, errno: number): void {
    if (entry.errno !== undefined) throw new Violation("P7", `${describe(entry)} was answered twice`, entry.first);
    entry.errno = errno;
    entry.repliedAt = ++this.#events;
    if (errno !== 0 || this.fooled) return;
    if (isWriter(entry.kind) && entry.fua) this.#acknowledgeFua(entry);
    else if (entry.kind === "flush") this.#acknowledgeFlush(entry);
  }

  /** The driver has died. */
  crashed(): void {
    if (this.fuaOverlaps > 0) this.crashesAfterFuaOverlap++;
    this.checkPower("P9");
  }

  /** A front has died: what it has not answered has been done, or has not, each sector for itself. */
  frontDied(): void {
    this.#lostBefore = this.#lostUntil;
    this.#lostUntil = this.#arrivals;
  }

  /** The power has failed: of what was acknowledged, and not made durable, each sector may have lost all after some writer. */
  powerFailed(): void {
    this.frontDied();
    for (let sector = 0; sector < this.#store.sectors; sector++) {
      const baseline = this.#baseline[sector];
      this.#writers[sector] = (this.#writers[sector] as Entry[]).map((writer) => {
        const survives = writer.arrival <= (baseline?.arrival ?? 0) || writer.errno !== 0;
        return survives ? writer : { ...writer, errno: undefined };
      });
    }
  }

  /** A reader that arrived as `entry` was told that `sector` holds `content`. */
  checkRead(entry: Entry, sector: number, content: number): void {
    const allowed = this.#allowedAt(sector, entry.arrival);
    if (this.#isLost(entry, sector, allowed)) return;
    if (allowed === "anything" && (this.garbled || content !== GARBAGE)) return;
    if (allowed === "anything" || !allowed.includes(content)) {
      throw new Violation("P1", `${describe(entry)} found ${contentName(content)}, expected ${list(allowed)}`, sector);
    }
    this.#checkSeen(entry, sector, content);
    if (allowed.length > 1 && entry.arrival > this.#lostUntil) this.#show(entry, sector, content);
  }

  /** An extents request was told that `sector` reads as zeroes. */
  checkZero(entry: Entry, sector: number): void {
    const allowed = this.#allowedAt(sector, entry.arrival);
    if (this.#isLost(entry, sector, allowed) || allowed === "anything" || allowed.includes(ZEROES)) return;
    throw new Violation("P1", `${describe(entry)} called it zeroes, expected ${list(allowed)}`, sector);
  }

  /**
   * What a sector may hold, where its front can tell: what was acknowledged last, or one of those that were refused since.
   * `undefined`: anything else for all that is known.
   */
  knowable(sector: number): readonly number[] | undefined {
    const writers = this.#writers[sector] as Entry[];
    const contents: number[] = [];
    for (let i = writers.length - 1; i >= 0 && contents.length < MAX_KNOWABLE; i--) {
      const writer = writers[i] as Entry;
      // What a front before this one has been told this one doesn't know.
      const isKnown = writer.errno !== undefined && writer.arrival > this.#lostUntil && !this.#shown.has(writer);
      if (!isKnown || mayTrim(writer)) return undefined;
      contents.push(contentOf(writer));
      if (writer.errno === 0) return contents;
    }
    return undefined;
  }

  /** What it held before that. */
  stale(sector: number): number {
    const before = (this.#writers[sector] as Entry[]).at(-2);
    return before === undefined ? ZEROES : contentOf(before);
  }

  /** If the power failed now, would each sector hold what it must? */
  checkPower(promise: "P2" | "P9"): void {
    const isSheltered = this.#sheltered();
    for (let sector = 0; sector < this.#store.sectors; sector++) {
      const writers = this.#writers[sector] as Entry[];
      if (writers.length === 0 || this.spoilt.has(sector) || isSheltered(sector)) continue;
      const allowed = this.#durableAt(sector);
      if (allowed === "anything") continue;
      for (const content of this.#store.afterPowerCut(sector)) {
        if (allowed.includes(content)) continue;
        const found = `the medium might hold ${contentName(content)} after a power cut`;
        throw new Violation(promise, `${found}, expected ${list(allowed)}`, sector);
      }
    }
  }

  /** Everything was flushed and nothing is in flight: the medium must hold the end of the history. */
  checkEnd(): void {
    for (let sector = 0; sector < this.#store.sectors; sector++) {
      const allowed = this.#allowedAt(sector, Number.POSITIVE_INFINITY);
      const content = this.#store.durable(sector);
      if (allowed === "anything" || allowed.includes(content) || this.spoilt.has(sector)) continue;
      throw new Violation(
        "P2",
        `the medium holds ${contentName(content)} at the end, expected ${list(allowed)}`,
        sector,
      );
    }
  }

  /** The driver wrote something else there, and since nobody knows any more what there should be, nobody can notice. */
  #isLost(reader: Entry, sector: number, allowed: Allowed): boolean {
    if (!this.spoilt.has(sector)) return false;
    const written = (this.#writers[sector] as Entry[]).findLast(({ arrival }) => arrival <= reader.arrival);
    // The front that knew it is dead.
    const isUnknown = (written?.arrival ?? 0) <= this.#lostUntil;
    return isUnknown || allowed === "anything" || (allowed.length > 1 && this.knowable(sector) === undefined);
  }

  /** Nobody is told of a write before the one who wrote it: the front might die, and it be gone. */
  #checkSeen(reader: Entry, sector: number, content: number): void {
    const since = reader.arrival > this.#lostUntil ? this.#lostUntil : this.#lostBefore;
    if (reader.arrival <= since) return;
    const writers = this.#writers[sector] as Entry[];
    const writer = writers.findLast((one) => one.kind === "write" && one.id === content && !this.#shown.has(one));
    // Of those of a front that is dead, what there was is what there is.
    if (
      writer === undefined ||
      writer.arrival <= since ||
      (writer.repliedAt > 0 && writer.repliedAt < reader.repliedAt)
    )
      return;
    throw new Violation(
      "P3",
      `${describe(reader)} was answered before ${describe(writer)}, which it has found`,
      sector,
    );
  }

  /**
   * What `reader` has found tells what has become of the writers that died with their front: from here on it is as if that had been
   * written and acknowledged, so that neither an older content comes back nor another one of theirs. One that failed leaves it open.
   */
  #show(reader: Entry, sector: number, content: number): void {
    const writers = this.#writers[sector] as Entry[];
    let at = writers.length;
    while (at > 0 && (writers[at - 1] as Entry).arrival > reader.arrival) at--;
    for (let i = at - 1; i >= 0; i--) {
      const { errno, arrival } = writers[i] as Entry;
      if (errno === 0) break;
      if (errno !== undefined || arrival > this.#lostUntil) return;
    }
    const kind = content === ZEROES ? "zero" : "write";
    const shown: Entry = { ...reader, id: content, kind, fua: false, errno: 0, repliedAt: ++this.#events };
    this.#shown.add(shown);
    writers.splice(at, 0, shown);
  }

  #acknowledgeFua(entry: Entry): void {
    for (let sector = entry.first; sector < entry.first + entry.count; sector++) {
      const baseline = this.#baseline[sector];
      const held = (this.#writers[sector] as Entry[]).some(
        (other) => other !== entry && other.errno === 0 && other.arrival > (baseline?.arrival ?? 0),
      );
      if (held) this.fuaOverlaps++;
      if (entry.arrival > (baseline?.arrival ?? 0)) this.#baseline[sector] = entry;
    }
    this.checkPower("P2");
  }

  #acknowledgeFlush(flush: Entry): void {
    for (let sector = 0; sector < this.#store.sectors; sector++) {
      const writers = this.#writers[sector] as Entry[];
      const baseline = this.#baseline[sector];
      for (let i = writers.length - 1; i >= 0; i--) {
        const writer = writers[i] as Entry;
        if (baseline !== undefined && writer.arrival <= baseline.arrival) break;
        if (writer.errno !== 0 || writer.repliedAt > flush.arrivedAt) continue;
        this.#baseline[sector] = writer;
        break;
      }
    }
    this.checkPower("P2");
  }

  /** What a reader with this place in the order of arrival may find. */
  #allowedAt(sector: number, arrival: number): Allowed {
    const writers = this.#writers[sector] as Entry[];
    const contents: number[] = [];
    for (let i = writers.length - 1; i >= 0; i--) {
      const writer = writers[i] as Entry;
      if (writer.arrival > arrival) continue;
      if (mayTrim(writer)) return "anything";
      contents.push(contentOf(writer));
      // One that failed, or isn't answered yet, may have left the old content as well as the new one.
      if (writer.errno === 0) return contents;
    }
    contents.push(ZEROES);
    return contents;
  }

  /** What may be on the medium: the newest content that has to be durable, or anything that came after it. */
  #durableAt(sector: number): Allowed {
    const writers = this.#writers[sector] as Entry[];
    const baseline = this.#baseline[sector];
    const contents: number[] = [];
    for (let i = writers.length - 1; i >= 0; i--) {
      const writer = writers[i] as Entry;
      if (mayTrim(writer)) return "anything";
      contents.push(contentOf(writer));
      if (writer === baseline) return contents;
    }
    contents.push(ZEROES);
    return contents;
  }
}

export function describe(entry: Entry): string {
  const range = entry.kind === "flush" ? "" : ` of [${entry.first}, ${entry.first + entry.count})`;
  return `${entry.fua ? "FUA " : ""}${entry.kind} #${entry.id}${range}`;
}

/** Whether it leaves the sector unspecified. */
function mayTrim(writer: Entry): boolean {
  return writer.kind === "trim";
}

function contentOf(writer: Entry): number {
  return writer.kind === "write" ? writer.id : ZEROES;
}

function contentName(content: number): string {
  if (content === GARBAGE) return "a torn or foreign sector";
  return content === ZEROES ? "zeroes" : `write #${content}`;
}

function list(allowed: Allowed): string {
  return allowed === "anything" ? "any whole sector" : allowed.map(contentName).join(" or ");
}
