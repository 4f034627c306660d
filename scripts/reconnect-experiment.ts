/** npm run experiment: what a reconnecting client loses with its server, and with Skink in front of it. `--help` says more. */
import { table } from "../bench/table.ts";
import { readCommandLine } from "../src/terminal/command-line.ts";
import { onInterruption } from "../src/terminal/interruption.ts";
import { Progress } from "../src/terminal/progress.ts";
import { peer } from "../test/peers.ts";
import {
  type Finding,
  keptEverything,
  runTrial,
  type Trial,
  type Via,
  WRITTEN_BYTES,
} from "../test/reconnect-experiment.ts";
import { FRONT_DEATHS } from "../test/reconnect-kill.ts";
import { RECONNECT_DELAY_S } from "../test/reconnect-qemu-io.ts";
import { STORES, type Store } from "../test/reconnect-stores.ts";
import { inScene, type Scene } from "../test/scene.ts";

const EXIT_FAILED = 1;

const VIAS: Record<Via, string> = {
  alone: "alone",
  memory: "Skink",
  shm: "Skink, home shm",
  disk: "Skink, home disk",
};

const HELP = `usage: npm run experiment -- [--json]

QEMU writes to an NBD server (qemu-io -t writeback, reconnect-delay=${RECONNECT_DELAY_S}), the writes are acknowledged,
something is killed by SIGKILL and starts again, QEMU flushes and reads back; then all is stopped in order, and the
image is looked at. The servers:
${STORES.map(({ name }) => `  ${name}`).join("\n")}
each alone, and with Skink in front of it, where the front is killed, too, with the homes shm and disk.

options:
  --json   one JSON object on stdout in place of the table
  --help   this text

Exit code: 0 where Skink kept everything in each run, whatever the servers alone did; 1 if it didn't; 2 for bad usage.
What needs qemu-utils or nbdkit is left out by name where they are missing; with SKINK_REQUIRE_PEERS=1 that fails.`;

/** A trial that could not be run has a failure in place of a finding. */
type Row = { readonly trial: Trial } & ({ readonly finding: Finding } | { readonly failure: string });

process.exitCode = await onInterruption(main);

async function main(signal: AbortSignal): Promise<number> {
  const options = { json: { type: "boolean", default: false } } as const;
  const { json } = readCommandLine(HELP, { options }, ({ values }) => values);
  const interruption = Promise.withResolvers<never>();
  interruption.promise.catch(() => {});
  signal.addEventListener("abort", () => interruption.reject(new Error("Interrupted")));

  const stores = STORES.filter(({ peers }) => peer(...peers) === false);
  const leftOut = STORES.flatMap(({ name, peers }) => {
    const missing = peer(...peers);
    return missing === false ? [] : [`${name}: ${missing}`];
  });
  const versions = await versionsOf(stores);
  const rows: Row[] = [];
  const trials = stores.flatMap(trialsOf);
  const progress = new Progress();
  for (const [index, trial] of trials.entries()) {
    progress.say(
      `run ${index + 1} of ${trials.length}: ${trial.store.name}, ${VIAS[trial.via]}: ${trial.killed} killed`,
    );
    const row = await rowOf(trial, interruption.promise);
    if (row === undefined) return EXIT_FAILED;
    rows.push(row);
  }
  progress.clear();
  console.log(json ? JSON.stringify({ versions, runs: rows.map(asJson) }, undefined, 2) : asText(versions, rows));
  for (const what of leftOut) console.error(`left out: ${what}`);
  const isWell = rows.every((row) => row.trial.via === "alone" || isKept(row));
  const isWhole = leftOut.length === 0 || process.env.SKINK_REQUIRE_PEERS !== "1";
  const isFinished = rows.every((row) => "finding" in row);
  return isWell && isWhole && isFinished ? 0 : EXIT_FAILED;
}

async function versionsOf(stores: readonly Store[]): Promise<string[]> {
  const versions = [`Node ${process.version}`];
  await inScene(async (scene) => {
    for (const store of stores) versions.push(await store.version(scene));
  });
  return versions;
}

function trialsOf(store: Store): Trial[] {
  const outliving = (["shm", "disk"] as const).flatMap((via): Trial[] =>
    (["server", ...FRONT_DEATHS] as const).map((killed) => ({ store, via, killed })),
  );
  return [{ store, via: "alone", killed: "server" }, { store, via: "memory", killed: "server" }, ...outliving];
}

/** `undefined`: the operator interrupted it. What it has started is ended in any case. */
async function rowOf(trial: Trial, interruption: Promise<never>): Promise<Row | undefined> {
  let interrupted = false;
  interruption.catch(() => {
    interrupted = true;
  });
  try {
    let finding: Finding | undefined;
    await inScene(async (scene: Scene) => {
      const running = runTrial(scene, trial);
      // Once interrupted, it goes wrong in any way.
      running.catch(() => {});
      finding = await Promise.race([running, interruption]);
    });
    return { trial, finding: finding as Finding };
  } catch (error) {
    if (!interrupted) return { trial, failure: (error instanceof Error ? error.message : String(error)).trim() };
    console.error("Interrupted");
    return undefined;
  }
}

function isKept(row: Row): boolean {
  return "finding" in row && keptEverything(row.finding);
}

function asJson(row: Row): unknown {
  const { store, via, killed } = row.trial;
  const what = { server: store.name, via, killed };
  return "finding" in row
    ? { ...what, writtenBytes: WRITTEN_BYTES, ...row.finding, verdict: verdictOf(row) }
    : { ...what, failure: row.failure };
}

function asText(versions: readonly string[], rows: readonly Row[]): string {
  const heads = [
    "server",
    "killed",
    "write",
    "flush after",
    "client reads",
    "image holds",
    "I/O errors",
    "stall ms",
    "",
  ];
  const parts = [versions.join("\n")];
  for (const store of new Set(rows.map(({ trial }) => trial.store))) {
    const own = rows.filter(({ trial }) => trial.store === store);
    parts.push(`${store.name}\n${table(heads, own.map(cellsOf))}`);
  }
  const failures = rows.flatMap((row) =>
    "failure" in row ? [`${row.trial.store.name}, ${VIAS[row.trial.via]}, ${row.trial.killed}: ${row.failure}`] : [],
  );
  return [...parts, ...failures, summaryOf(rows)].join("\n\n");
}

function cellsOf(row: Row): string[] {
  const who = [VIAS[row.trial.via], row.trial.killed];
  if ("failure" in row) return [...who, "", "", "", "", "", "", verdictOf(row)];
  const { acknowledged, flush, lostInSession, lostInImage, errors, stallMs } = row.finding;
  const write = acknowledged ? "acknowledged" : "failed";
  return [
    ...who,
    write,
    flush,
    data(lostInSession),
    data(lostInImage),
    `${errors}`,
    stallMs.toFixed(0),
    verdictOf(row),
  ];
}

function data(lost: number): string {
  if (lost === 0) return "the data";
  return lost === WRITTEN_BYTES ? "nothing of it" : `${WRITTEN_BYTES - lost} of ${WRITTEN_BYTES} bytes`;
}

function verdictOf(row: Row): string {
  if ("failure" in row) return "NOT RUN";
  const { acknowledged, flush, lostInSession, lostInImage, errors } = row.finding;
  if (keptEverything(row.finding)) return "kept";
  if (lostInSession + lostInImage === 0) return "kept, with errors";
  return acknowledged && flush === "succeeded" && errors === 0 ? "LOST, in silence" : "LOST, with errors";
}

function summaryOf(rows: readonly Row[]): string {
  const alone = rows.filter(({ trial }) => trial.via === "alone");
  const skink = rows.filter(({ trial }) => trial.via !== "alone");
  const lines = alone.map((row) => `${row.trial.store.name}, alone: ${verdictOf(row)}`);
  return [...lines, `Skink: ${skink.filter(isKept).length} of ${skink.length} runs kept everything`].join("\n");
}
