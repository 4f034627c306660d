/** Which workloads of examples/crash survive power cuts, of which disks, and how that is found out. */
import type { WorkloadName } from "../examples/crash/workloads.ts";
import { DISK_PEERS, isRaw, READY_MARK, type Recording } from "./crash-recording.ts";
import type { Peer } from "./peers.ts";
import { EXAMPLES, ended, type Scene, SKINK } from "./scene.ts";
import { within } from "./until.ts";

const CHECKER = `${EXAMPLES}/crash/check.ts`;
/** With its journal replayed, as a mount does it. */
const E2FSCK = "e2fsck -y -E journal_only {device} >/dev/null 2>&1; e2fsck -fn {device}";
/** Of a disk that swallows flushes: a step or two, and nothing of how the file system was made, which is too easy to find. */
const LOST_CHANGES = 12;
const LYING_FROM_MARK = "step 2";
const RUN_TIMEOUT_MS = 1_800_000;

export interface Trial {
  readonly name: string;
  readonly workload: WorkloadName;
  /** Whether the disk swallows flushes. */
  readonly lying: boolean;
  /** Whether all states have to pass; else one has to fail. */
  readonly survives: boolean;
  /** In place of the workload's own. */
  readonly check?: string;
  /** For skink crashes. */
  readonly args?: readonly string[];
}

/** On an honest disk all states pass; on one that swallows flushes, some fail. */
const SOUND = [
  // It writes its superblock, two sectors, in place when it is unmounted: a disk that tears it damages any ext4.
  { name: "ext4, e2fsck", workload: "files", check: E2FSCK, args: ["--atomic", "4K"] },
  { name: "ext4, synced files", workload: "files" },
  { name: "SQLite, rollback journal, EXTRA", workload: "sqlite-delete" },
  { name: "SQLite, WAL, FULL", workload: "sqlite-wal" },
  { name: "key-value store", workload: "key-value" },
  { name: "raw store", workload: "raw-store" },
] as const satisfies readonly Partial<Trial>[];

const MISTAKEN = [
  // A commit is the removal of the journal, and FULL doesn't sync the folder: https://sqlite.org/pragma.html#pragma_synchronous
  { name: "SQLite, rollback journal, FULL", workload: "sqlite-delete-full" },
  { name: "key-value store, no directory sync", workload: "key-value-no-directory-sync" },
  { name: "key-value store, wrong order", workload: "key-value-wrong-order" },
  { name: "raw store, wrong order", workload: "raw-store-wrong-order" },
] as const satisfies readonly Partial<Trial>[];

export const TRIALS: readonly Trial[] = [
  ...SOUND.flatMap((trial) => [
    { ...trial, lying: false, survives: true },
    { ...trial, lying: true, survives: false },
  ]),
  ...MISTAKEN.map((trial) => ({ ...trial, lying: false, survives: false })),
];

export interface TrialOptions {
  readonly states: number;
  readonly seed: number;
  /** Go on after a state has failed. */
  readonly all?: boolean;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** What `skink crashes --json` says, as far as it is of interest. */
export interface Finding {
  readonly checked: number;
  readonly exhaustive: boolean;
  readonly lying: boolean;
  readonly seconds: number;
  readonly failures: readonly { readonly state: string }[];
  readonly smallest?: Smallest;
}

/** The smallest state that fails. */
export interface Smallest {
  readonly state: string;
  /** Each change that isn't all there; lengths in bytes. */
  readonly missing: readonly {
    readonly entry: number;
    readonly length: number;
    readonly missing: readonly { readonly offset: number; readonly length: number }[];
  }[];
  readonly output: string;
  /** The command that brings it back. */
  readonly again: string;
}

/** Whether what was found is what has to be found. */
export function isAsExpected({ survives }: Trial, { failures }: Finding): boolean {
  return survives === (failures.length === 0);
}

/** For people; different for each. */
export function titleOf({ name, lying }: Trial): string {
  return lying ? `${name}, flushes swallowed` : name;
}

/** What a trial needs of the machine. */
export function peersOf({ workload }: Trial): readonly Peer[] {
  return isRaw(workload) ? [] : DISK_PEERS;
}

/** Rejects where the checks can't be made. */
export async function check(
  scene: Scene,
  { workload, lying, check, args: own = [] }: Trial,
  { log, doneMark }: Recording,
  { states, seed, all = false, signal }: TrialOptions,
): Promise<Finding> {
  const place = isRaw(workload) ? "{uri}" : "{mount}";
  const command = check ?? `'${process.execPath}' '${CHECKER}' ${workload} ${place} "$SKINK_MARK"`;
  const options = [
    ...["--from", lying ? LYING_FROM_MARK : READY_MARK, ...(check === undefined ? ["--to", doneMark] : [])],
    ...["--states", `${states}`, "--seed", `${seed}`, ...own],
    ...(lying ? ["--lying-flushes", `${LOST_CHANGES}`] : []),
    ...(all ? ["--all"] : []),
  ];
  // A check is a program of Node's, started once for each state.
  const compiled = `NODE_COMPILE_CACHE=${scene.path("compiled")}`;
  const args = [compiled, process.execPath, SKINK, "crashes", log, ...options, "--json", "--check", command];
  const child = scene.spawn("env", args);
  const done = ended(child);
  // It takes down what it has set up.
  const stop = (): boolean => child.kill("SIGTERM");
  signal?.addEventListener("abort", stop);
  const { code, stdout, stderr } = await within("the end of skink crashes", RUN_TIMEOUT_MS, done);
  signal?.removeEventListener("abort", stop);
  signal?.throwIfAborted();
  if (stdout === "") throw new Error(`skink crashes ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Finding;
}
