import type { Load } from "./fio.ts";
import type { Measurement, Summary } from "./measure.ts";

/** Skink as it is by default: the process link, with the shadow. */
export const SKINK = "Skink";
export const BASELINE = "nbdkit";

/** 1 MiB transfers in flight for the sequential cases: enough to hide the round trip, and to keep both processes busy. */
const SEQUENTIAL_DEPTH = 8;
const RANDOM_DEPTHS = [1, 16, 64];

/** One load of the comparison. */
export interface Case {
  /** Stable: "4k-randread-qd64". */
  readonly id: string;
  /** For people: "4 KiB random read, QD 64". */
  readonly title: string;
  readonly pattern: Load["pattern"];
  readonly blockBytes: number;
  readonly depth: number;
  /** What is compared. */
  readonly unit: "IOPS" | "MiB/s";
}

/** What the disk behind a server is made of. Ratios are to nbdkit's of the same kind. */
export type Kind = "memory" | "file";

/** The least ratio to nbdkit that Skink's process link must reach, and the one aimed at. */
export interface Goal {
  readonly least: number;
  readonly aim?: number;
}

/** One line of the comparison: what one server came to under one load. */
export interface Entry {
  readonly kind: Kind;
  readonly case: string;
  readonly server: string;
  /** Of what the case compares, to nbdkit of the same kind; missing where that did not run. */
  readonly ratio?: number;
  readonly summary: Summary;
}

export const CASES: readonly Case[] = [
  ...RANDOM_DEPTHS.flatMap((depth) => [random("randread", depth), random("randwrite", depth)]),
  sequential("read"),
  sequential("write"),
];

/** `undefined` where no goal was set. */
export function goalOf(kind: Kind, { unit, depth }: Case): Goal | undefined {
  if (kind === "file") return unit === "IOPS" && depth > 1 ? { least: 1 } : undefined;
  if (unit === "MiB/s") return { least: 1 };
  if (depth === 64) return { least: 1, aim: 1.3 };
  return depth === 1 ? { least: 0.5 } : undefined;
}

/** The value that a case compares. */
export function compareValue({ unit }: Case, measurement: Measurement): number {
  return unit === "IOPS" ? measurement.iops : measurement.mibPerSecond;
}

function random(pattern: "randread" | "randwrite", depth: number): Case {
  const title = `4 KiB random ${pattern === "randread" ? "read" : "write"}, QD ${depth}`;
  return { id: `4k-${pattern}-qd${depth}`, title, pattern, blockBytes: 4096, depth, unit: "IOPS" };
}

function sequential(pattern: "read" | "write"): Case {
  const depth = SEQUENTIAL_DEPTH;
  const title = `1 MiB sequential ${pattern}, QD ${depth}`;
  return { id: `1m-seq${pattern}-qd${depth}`, title, pattern, blockBytes: 1 << 20, depth, unit: "MiB/s" };
}
