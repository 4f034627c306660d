import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { startSkink } from "../bench/servers.ts";
import { percentile } from "../bench/statistics.ts";
import { Workbench } from "../bench/workbench.ts";
import { askFront, eventsOf } from "../src/front/control-client.ts";
import type { DeviceStatus } from "../src/front/status.ts";
import type { Wrong } from "../src/load/wrong.ts";
import { SoakDevice } from "./soak-device.ts";
import { fillPlaces } from "./soak-place.ts";

const FRONT = fileURLToPath(new URL("./soak-front.ts", import.meta.url));
/**
 * The policy of who is killed from outside: a driver that dies before it has done anything may be in the way of itself, so the
 * next one waits, 100 ms and more. Here it is known that it wasn't, and the wait would be most of the soak.
 */
const POLICY = { restartDelayMs: 1, maxRestartDelayMs: 10 };
const PROGRESS_MS = 1000;

export interface SoakOptions {
  readonly devices: number;
  readonly kills: number;
  readonly seed: number;
  /** Of the drivers' device. */
  readonly spec: string;
}

/** What a soak has come to; as JSON it is this, too. Times in milliseconds, if nothing else is said. */
export interface SoakReport {
  readonly seed: number;
  readonly spec: string;
  readonly devices: number;
  readonly wanted: number;
  readonly seconds: number;
  readonly kills: number;
  readonly killsPerSecond: number;
  /** By the state in which the device was: "live", or "recovering" where the driver was opening, or being replayed to. */
  readonly killsByState: Readonly<Record<string, number>>;
  readonly readBacks: number;
  readonly requests: number;
  readonly errors: number;
  readonly firstError: string | undefined;
  /** Sectors that held what they should not have; of them those that a flush had promised; the first few, a line each. */
  readonly lost: number;
  readonly flushLies: number;
  readonly wrongs: readonly string[];
  readonly stallMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** What else went wrong, a line each. */
  readonly failures: readonly string[];
}

/** Whether there is nothing that should not be. */
export function isWell({ errors, lost, failures }: SoakReport): boolean {
  return errors === 0 && lost === 0 && failures.length === 0;
}

/** Kills until there were so many, `signal`, or something is wrong. Nothing is left behind when this settles. */
export async function runSoak(
  options: SoakOptions,
  signal: AbortSignal,
  progress: (report: SoakReport) => void,
): Promise<SoakReport> {
  const bench = new Workbench(new AbortController().signal);
  try {
    return await new Soak(bench, options, signal).run(progress);
  } finally {
    await bench.close();
  }
}

class Soak {
  readonly #bench: Workbench;
  readonly #options: SoakOptions;
  readonly #signal: AbortSignal;
  readonly #failures: string[] = [];
  #devices: readonly SoakDevice[] = [];
  #startedAt = 0;
  #claimed = 0;

  constructor(bench: Workbench, options: SoakOptions, signal: AbortSignal) {
    this.#bench = bench;
    this.#options = options;
    this.#signal = signal;
  }

  async run(progress: (report: SoakReport) => void): Promise<SoakReport> {
    const { devices, seed } = this.#options;
    const server = await startSkink(this.#bench, {
      name: "soak",
      spec: this.#configuration(),
      devices,
      // In a session of its own: who interrupts the soak at a terminal doesn't stop the front under it.
      command: ["setsid", process.execPath, FRONT],
    });
    const statusOf = async (name: string): Promise<DeviceStatus> => {
      const status = await askFront(server.control, { command: "status" });
      return status.devices.find((device) => device.name === name) as DeviceStatus;
    };
    const over = new AbortController();
    const watching = this.#watch(server.control, over.signal);
    this.#devices = await Promise.all(
      server.uris.map(async (uri, index) =>
        SoakDevice.connect(index, uri, await statusOf(`disk${index}`), seed, statusOf),
      ),
    );
    this.#startedAt = performance.now();
    const timer = setInterval(() => progress(this.#report()), PROGRESS_MS);
    await Promise.all(this.#devices.map((device) => this.#attempt(device.run(() => this.#claim()))));
    clearInterval(timer);
    const report = this.#report();
    over.abort();
    await watching;
    for (const device of this.#devices) {
      if (isWell(report)) await device.close();
      else device.destroy();
    }
    const how = await this.#bench.stop(server.tool);
    if (how !== "exit code 0") {
      this.#failures.push(`the front ended with ${how}: ${server.tool.errors().trim().split("\n").at(-1)}`);
    }
    return { ...report, failures: this.#failures };
  }

  /** Whether there is another kill to be made; counts it as made. */
  #claim(): boolean {
    if (this.#signal.aborted || this.#claimed >= this.#options.kills || !isWell(this.#report())) return false;
    this.#claimed++;
    return true;
  }

  async #attempt(run: Promise<void>): Promise<void> {
    await run.catch((error) => this.#failures.push(error instanceof Error ? error.message : String(error)));
  }

  async #watch(control: string, over: AbortSignal): Promise<void> {
    try {
      for await (const event of eventsOf(control, true, over)) {
        if (event.type === "missed") this.#failures.push(`${event.count} events of the front were missed`);
        else this.#devices.find(({ name }) => name === event.device)?.saw(event);
      }
    } catch (error) {
      this.#failures.push(`the front is gone: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Every second device has a spare driver ready: its recoveries are another way, and shorter. */
  #configuration(): string {
    const { devices, spec } = this.#options;
    const path = this.#bench.path("soak.yaml");
    const entries = Array.from({ length: devices }, (_, index) => ({
      name: `disk${index}`,
      spec: fillPlaces(spec, this.#bench.path(`store${index}`)),
      // Kept memory is each device's own, though the spec is the same.
      shared: true,
      standby: index % 2 === 1,
      policy: POLICY,
    }));
    writeFileSync(path, stringify({ devices: entries }));
    return path;
  }

  #report(): SoakReport {
    const { devices, kills: wanted, seed, spec } = this.#options;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const tallies = this.#devices.map(({ tally }) => tally);
    const soaks = this.#devices.map(({ soak }) => soak);
    const killsByState: Record<string, number> = {};
    for (const soak of soaks) {
      for (const [state, count] of Object.entries(soak.killsByState)) {
        killsByState[state] = (killsByState[state] ?? 0) + count;
      }
    }
    const kills = sum(soaks.map((soak) => soak.kills));
    const stalls = soaks.flatMap(({ stallsMs }) => stallsMs);
    return {
      seed,
      spec,
      devices,
      wanted,
      seconds,
      kills,
      killsPerSecond: kills / seconds,
      killsByState,
      readBacks: sum(soaks.map(({ readBacks }) => readBacks)),
      requests: sum(tallies.map(({ requests }) => requests)),
      errors: sum(tallies.map(({ errors }) => errors)),
      firstError: tallies.find(({ firstError }) => firstError !== undefined)?.firstError,
      lost: sum(tallies.map(({ wrong }) => wrong)),
      flushLies: sum(tallies.map(({ flushLies }) => flushLies)),
      wrongs: tallies.flatMap(({ wrongs }, index) => wrongs.map((wrong) => lineOf(index, wrong))),
      stallMs: { p50: percentile(stalls, 50), p99: percentile(stalls, 99), max: percentile(stalls, 100) },
      failures: this.#failures,
    };
  }
}

function lineOf(device: number, { kind, flushed, description }: Wrong): string {
  return `disk${device}: ${kind}${flushed ? ", though flushed" : ""}: ${description}`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
