import type { Progress } from "../src/terminal/progress.ts";
import type { Peer } from "../test/peers.ts";
import type { Report } from "./results.ts";
import type { Workbench } from "./workbench.ts";

export interface Settings {
  /** Length of one run. */
  readonly seconds: number;
  /** Runs for each server and case. */
  readonly rounds: number;
  /** Cases whose name it matches; all of them where it is missing. */
  readonly only: RegExp | undefined;
  /** A short look: fewer kills, shorter waits. */
  readonly quick: boolean;
}

/** A part of the bench, chosen by its name. */
export interface Part {
  readonly name: string;
  /** One line for the help. */
  readonly summary: string;
  /** The programs that it needs at least. */
  readonly needs: readonly Peer[];
  run(bench: Workbench, settings: Settings, progress: Progress): Promise<Outcome>;
}

export interface Outcome {
  readonly report: Report;
  /** SVG. */
  readonly picture?: string;
  /** What went wrong where nothing may: I/O errors, lost writes. One line each; the bench then exits with 1. */
  readonly failures?: readonly string[];
  /** Peers that were not there, and what was left out for that. */
  readonly leftOut?: readonly string[];
}
