/**
 * Rare things that a long sweep has to have seen, each in one of its worlds at least: a checker proves nothing about what never
 * happens.
 * ("Sometimes" assertions, as Antithesis calls them.) They are observed from outside the core: see mark-watcher.ts.
 */
export const MARKS = {
  // Deaths of drivers.
  "death in a replay": "a driver dies while a replay is with it",
  "death in a partial replay": "… of a write that has been superseded in part",
  "death before any replay": "a second driver in a row dies before it has executed anything",
  "death with a waited-for flush": "a driver dies with a flush in hand that clients wait for",
  "death with a FUA over a piece": "a driver dies with a FUA write in hand over what is acknowledged and not durable",
  "death in a torn write": "a driver dies with a write half applied",
  "death of a newcomer": "a newcomer dies on probation",
  "death while closing": "a driver dies that was asked to close, with something in hand",
  "death with a full queue": "a driver dies with as much in hand as its link takes",
  "hang in a replay": "a driver hangs with a replay in hand, and is found out",
  "late completion": "a driver that was given up completes something",
  // Flushes.
  "flush failed beside a FUA write": "a flush fails while a FUA write is with the driver",
  "FUA write failed beside a flush": "a FUA write fails while a flush is with the driver",
  "flush shared": "one flush answers several clients' requests",
  "own flush failed": "a flush fails that nobody but the device had asked for",
  // What drivers refuse.
  "replay refused": "a driver refuses an acknowledged piece",
  "read of a refused piece": "a client reads what the driver refuses, and the shadow has",
  "refused piece taken": "a driver takes a piece that was refused before",
  "zeroes written": "zeroes are written to a driver that can't, or won't, zero",
  "trim replayed": "a trim is replayed",
  // Who kills.
  "piece convicted": "an acknowledged piece is convicted, and served from the shadow",
  "flush convicted": "a flush is convicted",
  "convict overwritten": "a convicted piece is overwritten, and the device is well again",
  // Lies.
  "lie cured by another read": "a lie about a read is cured by reading again",
  "lie cured by a restart": "… by a restart",
  "lie repaired": "… by the shadow, which writes its own again",
  "lie answered with an error": "… by nothing: the client gets an error",
  // What the supervisor does.
  "held, then recovered": "a device is held, and lives again",
  "reaped late": "a device is held because a driver is not reaped, and goes on once it is",
  "read-only, then well": "a device is read-only, and writes again at the operator's word",
  "fallback with pieces": "the fallback takes over with pieces to be replayed",
  "rollback with pieces": "an upgrade is rolled back with pieces that are not durable",
  "rollback of believed flushes": "… and with pieces that the newcomer has flushed",
  "store grown": "a newcomer makes the device larger",
  "upgrade in a recovery": "an upgrade is asked for while the device recovers",
  // Clients and limits.
  "writer waited for room": "a writer finds no room, and waits",
  "reader waited for room": "a reader finds no room, and waits",
  "device stalled": "nothing can be released for so long that writers get an error",
  "half a write abandoned": "a connection dies before all the data of its write has come",
  "calm in a recovery": "the faults end while the device recovers, with requests that wait",
  // Deaths of fronts.
  "front died between put and drop":
    "a front dies when the new piece is in the home, and the older ones are not out of it",
  "front died before it was kept": "a front dies when a piece is put, and not kept",
  "front died recovering": "a front dies while its device recovers",
  "front died in an upgrade": "a front dies while an upgrade is under way",
  "front died stopping": "a front dies while it stops",
  "pieces taken up twice": "a front takes up pieces, and dies before they are durable; so does the next",
  "power cut with a torn record": "a power cut leaves a torn record at the end of the log",
  "power cut in a recovery": "the power fails while the device recovers",
  "log broken with pieces": "the disk of a log breaks down while pieces are in it",
  "spent log passed over": "a front finds records in a log that was spent, and doesn't take them up",
  "handover with pieces": "a front hands over with pieces that are not durable",
} as const;

export type Mark = keyof typeof MARKS;
const MARK_NAMES = Object.keys(MARKS) as Mark[];

/** A sweep of so many worlds, chosen by seeds, has to have seen all of them. */
export const MARKED_SEEDS = 20_000;

/** In how many worlds each was seen. */
export type MarkCounts = { readonly [Name in Mark]: number };

export const NO_MARKS = markCounts(() => 0);

export function markCounts(count: (mark: Mark) => number): MarkCounts {
  return Object.fromEntries(MARK_NAMES.map((mark) => [mark, count(mark)])) as MarkCounts;
}

export function addMarks(a: MarkCounts, b: MarkCounts): MarkCounts {
  return markCounts((mark) => a[mark] + b[mark]);
}

/** Those that were never seen. */
export function unseen(counts: MarkCounts): Mark[] {
  return MARK_NAMES.filter((mark) => counts[mark] === 0);
}

/** A line for each, the rarest first. */
export function describeMarks(counts: MarkCounts): string {
  const sorted = [...MARK_NAMES].sort((a, b) => counts[a] - counts[b]);
  return sorted.map((mark) => `${String(counts[mark]).padStart(9)}  ${mark}: ${MARKS[mark]}`).join("\n");
}
