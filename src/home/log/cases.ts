/** `take`: it counts, go on behind it. `stop`: the log ends here, as after any power cut. `damaged`: the log is not to be used. */
export type Action = "take" | "stop" | "damaged";

interface Decision {
  readonly action: Action;
  /** What it is, for people: stands behind "it" or "the record". */
  readonly means: string;
}

/** What the two headers may be, together. */
export const HEADER_CASES = {
  "both-good": { action: "take", means: "both headers are good: the newer one counts" },
  "one-good": {
    action: "take",
    means: "one header is good; the other one was never written, or was torn by a power cut",
  },
  empty: { action: "take", means: "nothing but zeroes: a new log" },
  "both-bad": { action: "damaged", means: "neither header is good, and one of them always is" },
  "headers-gone": { action: "damaged", means: "both headers are zeroes, and there are records behind them" },
  "other-ids": { action: "damaged", means: "the headers are of two different logs" },
  foreign: { action: "damaged", means: "something stands in it that is no log of Skink's" },
  "newer-version": { action: "damaged", means: "a later version of Skink has written it" },
  truncated: { action: "damaged", means: "the file is shorter than the log" },
} as const satisfies Record<string, Decision>;

/** What may stand where the next record is looked for. */
export const RECORD_CASES = {
  next: { action: "take", means: "is the next record" },
  wrap: { action: "take", means: "says that the next one is at the start" },
  full: { action: "stop", means: "is the tail again" },
  unwritten: { action: "stop", means: "was never written" },
  "no-record": { action: "stop", means: "is not the beginning of a record: older data, or a sector that was lost" },
  "torn-header": { action: "stop", means: "is a damaged sector of a record" },
  "torn-data": { action: "stop", means: "is a record whose data is not what it was" },
  "old-lap": { action: "stop", means: "is a record of an earlier lap" },
  "old-run": { action: "stop", means: "is a record that an earlier front wrote, behind one that was lost" },
  "other-log": { action: "stop", means: "is a record of another log" },
  overtaken: { action: "damaged", means: "is a record of a later lap: the header that allowed it is gone" },
  "future-run": { action: "damaged", means: "is a record of a later front: the header that announced it is gone" },
  "wrong-sequence": { action: "damaged", means: "is a record with a sequence that can't stand here" },
  "wrong-chain": {
    action: "damaged",
    means: "is the next record, but not behind the one that is here: a write was lost",
  },
  "out-of-bounds": { action: "damaged", means: "is a record that says what no record can" },
} as const satisfies Record<string, Decision>;

/** What comes of a stop, once the rest of the log has been asked what was durable. */
export const END_CASES = {
  end: { action: "stop", means: "nothing says that what follows was durable" },
  gap: { action: "damaged", means: "was durable once, and is not there any more" },
  "later-front": {
    action: "damaged",
    means: "behind it is a record of a later front: the header that announced it is gone",
  },
} as const satisfies Record<string, Decision>;

export type HeaderCase = keyof typeof HEADER_CASES;
export type RecordCase = keyof typeof RECORD_CASES;
export type EndCase = keyof typeof END_CASES;
