/**
 * The same kills, at times that a seed decides, and the same verifying load, for servers that stand alone and behind Skink. A kill
 * comes some time after the one before is over: the server is there again, and a request has been answered.
 *
 *     answered ── 20 to 300 ms ──▶ SIGKILL ── the stall ──▶ answered ── …  ──▶ flush, and all of it is read
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SeededRandom } from "../src/block/random.ts";
import { Front } from "../src/front/front.ts";
import type { DeviceSpec } from "../src/front/spec.ts";
import { type LoadTally, VerifyingLoad } from "../src/load/load.ts";
import { blocks } from "../src/load/patterns.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { BareStand } from "../src/torture/servers/bare-stand.ts";
import type { Subject } from "./conformance-servers.ts";
import type { Scene } from "./scene.ts";
import { until, within } from "./until.ts";

const DEVICE = "disk";
/** Requests in flight, on one connection: not every server's flush covers several. */
const DEPTH = 16;
/** Blocks anywhere, as file systems ask for them; of a hundred requests so many are writes, and each 64th is a flush. */
const PATTERN = blocks(4096, 60, 64);
const MIN_LIFE_MS = 20;
const MAX_LIFE_MS = 300;
/** For a server to answer again: more than any relay waits. */
const ANSWER_TIMEOUT_MS = 90_000;
/** A client of ours tries again as often as a supervisor may take. */
const RECONNECT = { attempts: Number.POSITIVE_INFINITY, delayMs: 10, maxDelayMs: 100 };

/** "alone": with its usual recovery, or, for a driver, behind a front whose shadow is off. */
export type Via = "alone" | "Skink";

export interface RunOptions {
  readonly via: Via;
  readonly kills: number;
  readonly seed: number;
  /** The part of the store that is used, from its start. */
  readonly bytes: number;
  /** Aborted when it is interrupted. */
  readonly signal: AbortSignal;
  /** Takes the number of kills so far. */
  progress(kills: number): void;
}

export interface Finding {
  /** Kills. */
  readonly faults: number;
  readonly requests: number;
  /** That ended in an error, and the first one. */
  readonly errors: number;
  readonly firstError: string | undefined;
  /** Sectors that held something older than what was acknowledged, each counted once until it was rewritten; and the first one. */
  readonly lost: number;
  readonly firstLost: string | undefined;
  /** Of them those that a flush or FUA had promised. */
  readonly flushLies: number;
  /** For each kill, the longest time between two answers. */
  readonly stallsMs: readonly number[];
  /** Whether it served to the end, or how not. */
  readonly state: string;
}

/** What is killed, and what the load talks to. */
interface Target {
  readonly uri: string;
  readonly reconnects: boolean;
  /** "live" when it serves. */
  state(): string;
  victim(): number | undefined;
  end(): Promise<void>;
}

/** Rejects where it can't be started, or something hangs that shouldn't. */
export async function runKills(scene: Scene, subject: Subject, options: RunOptions): Promise<Finding> {
  const { kills, seed, bytes, signal, progress } = options;
  const target = await startTarget(scene, subject, options.via);
  const client = await NbdClient.connect(target.uri, target.reconnects ? { reconnect: RECONNECT } : {});
  scene.defer(() => client.destroy());
  // Servers that run overlapping requests at the same time may mix them within a sector; this is about what is lost.
  const load = new VerifyingLoad([client], {
    pattern: PATTERN,
    seed,
    depth: DEPTH,
    bytes,
    mayMix: true,
  });
  const random = new SeededRandom(seed);
  const stallsMs: number[] = [];
  load.start();
  let faults = 0;
  while (faults < kills && (await isServing(target, load, client))) {
    if (faults > 0) stallsMs.push(load.takeLongestGapMs());
    await sleep(random.between(MIN_LIFE_MS, MAX_LIFE_MS), undefined, { signal });
    load.takeLongestGapMs();
    await kill(target);
    progress(++faults);
  }
  const state = (await isServing(target, load, client)) ? "live" : target.state();
  if (state === "live") stallsMs.push(load.takeLongestGapMs());
  await within("the last answers", ANSWER_TIMEOUT_MS, load.stop());
  if (state === "live") await within("the read-back", ANSWER_TIMEOUT_MS, load.readBack());
  client.destroy();
  await target.end();
  return findingOf(load.tally, { faults, stallsMs, state });
}

function findingOf(tally: LoadTally, rest: Pick<Finding, "faults" | "stallsMs" | "state">): Finding {
  const { requests, errors, firstError, wrong, flushLies, wrongs } = tally;
  return { ...rest, requests, errors, firstError, lost: wrong, firstLost: wrongs[0]?.description, flushLies };
}

/** Waits until a request is answered by a server that lives; false where that will never be. */
async function isServing(target: Target, load: VerifyingLoad, client: NbdClient): Promise<boolean> {
  const isOver = (): boolean => target.state() === "failed" || target.state() === "held" || !isUsable(target, client);
  await until("the server to be back", ANSWER_TIMEOUT_MS, () => target.state() === "live" || isOver() || undefined);
  if (isOver()) return false;
  await within("an answer of the server", ANSWER_TIMEOUT_MS, load.nextCompletion());
  return !isOver();
}

/** A client without a way back is at its end when its connection is. */
function isUsable({ reconnects }: Target, client: NbdClient): boolean {
  return reconnects || client.connected;
}

/** Resolves when its end has been noticed. */
async function kill(target: Target): Promise<void> {
  const pid = await until("a process to kill", ANSWER_TIMEOUT_MS, () => target.victim());
  process.kill(pid, "SIGKILL");
  await until("the server's end", ANSWER_TIMEOUT_MS, () => target.victim() !== pid || undefined);
}

async function startTarget(scene: Scene, subject: Subject, via: Via): Promise<Target> {
  const spec = await subject.make(scene);
  if (via === "Skink") return await startFront(scene, spec, true);
  const { recovery } = subject;
  if (recovery === undefined || spec.source.type !== "command") return await startFront(scene, spec, false);
  const stand = new BareStand({ source: spec.source, recovery, strikes: () => [], tell() {} });
  scene.defer(() => stand.end());
  await stand.start();
  return {
    uri: stand.uri,
    reconnects: stand.reconnects,
    state: () => stand.findings().state,
    victim: () => stand.victim(),
    end: () => stand.end(),
  };
}

/** With the policy as it is by default. */
async function startFront(scene: Scene, spec: DeviceSpec, retains: boolean): Promise<Target> {
  const front = new Front({ devices: [{ name: DEVICE, spec, retains }] });
  const end = async (): Promise<void> => {
    await front.stop();
    await front.ended;
  };
  scene.defer(end);
  await front.start();
  const status = () => front.status().devices[0];
  return {
    uri: front.uri(DEVICE),
    reconnects: false,
    state: () => status()?.state ?? "failed",
    victim: () => status()?.driver.pid ?? undefined,
    end,
  };
}
