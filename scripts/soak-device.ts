import { setTimeout as sleep } from "node:timers/promises";
import { sendKill } from "../bench/loaded-disk.ts";
import { SeededRandom } from "../src/block/random.ts";
import type { FrontEvent } from "../src/front/events.ts";
import type { DeviceStatus } from "../src/front/status.ts";
import { type LoadTally, VerifyingLoad } from "../src/load/load.ts";
import { LOAD_PATTERNS } from "../src/load/pattern.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { within } from "../test/until.ts";

/** Of each device, from its start. */
const LOAD_BYTES = 8 << 20;
const CLIENTS = 2;
/** Requests in flight of each client, and how long each lane waits between two: what costs time here is to start drivers. */
const DEPTH = 4;
const PAUSE_MS = 1;
/** A driver lives for so long at most, from the moment that it is live. */
const MAX_LIFE_MS = 100;
/** … or, one kill in so many, from its start: so it dies while it opens or replays. */
const EARLY_ONE_IN = 3;
const MAX_EARLY_LIFE_MS = 60;
/** After three deaths with but one request in hand, the device would take that request for what kills its drivers. */
const MAX_EARLY_IN_ROW = 2;
const READ_BACK_EVERY_KILLS = 100;
const PID_POLL_MS = 2;
/** For a device to be live again, to answer what is in flight, to be read back: what takes longer hangs. */
const PATIENCE_MS = 60_000;

/** What has been done to one device. */
export interface DeviceSoak {
  kills: number;
  /** By the state in which the device was when its driver was killed. */
  readonly killsByState: Record<string, number>;
  readBacks: number;
  /** After each kill, the longest time without any completion until the next one. Milliseconds. */
  readonly stallsMs: number[];
}

/** One device of the soak's front: a verifying load on it, and the kills of its driver. */
export class SoakDevice {
  readonly name: string;
  readonly soak: DeviceSoak = { kills: 0, killsByState: {}, readBacks: 0, stallsMs: [] };
  readonly #clients: readonly NbdClient[];
  readonly #load: VerifyingLoad;
  readonly #random: SeededRandom;
  readonly #status: (name: string) => Promise<DeviceStatus>;
  /** The newest incarnations: one that was started, and one that came to serve. */
  #startedEpoch = 0;
  #liveEpoch = 0;
  #killedPid: number | null = null;
  #killedEpoch = 0;
  /** Why there will be no other incarnation. */
  #givenUp: string | undefined;
  #changed = Promise.withResolvers<void>();

  /** `index`: which of the soak's devices; they have different loads. */
  static async connect(
    index: number,
    uri: string,
    device: DeviceStatus,
    seed: number,
    status: (name: string) => Promise<DeviceStatus>,
  ): Promise<SoakDevice> {
    const clients = [await NbdClient.connect(uri), ...(await connected(uri, CLIENTS - 1))] as const;
    return new SoakDevice(index, device, clients, seed, status);
  }

  private constructor(
    index: number,
    { name, epoch }: DeviceStatus,
    clients: readonly [NbdClient, ...NbdClient[]],
    seed: number,
    status: (name: string) => Promise<DeviceStatus>,
  ) {
    this.name = name;
    this.#clients = clients;
    this.#status = status;
    this.#random = new SeededRandom(seed, index);
    this.#startedEpoch = epoch;
    this.#liveEpoch = epoch;
    const pattern = LOAD_PATTERNS[index % LOAD_PATTERNS.length] as (typeof LOAD_PATTERNS)[number];
    const options = { pattern, seed: seed + index, depth: DEPTH, bytes: LOAD_BYTES, pauseMs: PAUSE_MS };
    this.#load = new VerifyingLoad(clients, options);
  }

  get tally(): LoadTally {
    return this.#load.tally;
  }

  /** An event of the front that is about this device. */
  saw(event: FrontEvent): void {
    if (event.type === "restart") this.#startedEpoch = event.epoch;
    else if (event.type === "live") this.#liveEpoch = event.epoch;
    else if (event.type === "failed" || event.type === "held") this.#givenUp = `${event.type}: ${event.reason}`;
    else return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /**
   * Kills as long as `mayKill` says so, which counts each kill as done, and reads everything back now and then and in the end.
   * Rejects where the device doesn't come back, or doesn't answer.
   */
  async run(mayKill: () => boolean): Promise<void> {
    this.#load.start();
    let early = 0;
    while (mayKill()) {
      const isEarly = early < MAX_EARLY_IN_ROW && this.#random.below(EARLY_ONE_IN) === 0;
      early = isEarly ? early + 1 : 0;
      await this.#until(isEarly ? "a new driver" : "live", () =>
        isEarly ? this.#startedEpoch > this.#killedEpoch : this.#isLive,
      );
      await sleep(this.#random.below(isEarly ? MAX_EARLY_LIFE_MS : MAX_LIFE_MS));
      await this.#kill();
      if (this.soak.kills % READ_BACK_EVERY_KILLS > 0) continue;
      await this.#readBack();
      this.#load.start();
    }
    await this.#readBack();
    await this.#until("live", () => this.#isLive);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  /** For a device that doesn't answer. */
  destroy(): void {
    for (const client of this.#clients) client.destroy();
  }

  get #isLive(): boolean {
    return this.#liveEpoch > this.#killedEpoch;
  }

  /** Kills the next incarnation that there is a process of. */
  async #kill(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const { state, epoch, driver } = await this.#status(this.name);
      if (driver.pid !== null && driver.pid !== this.#killedPid && sendKill(driver.pid)) {
        const gap = this.#load.takeLongestGapMs();
        if (this.soak.kills > 0) this.soak.stallsMs.push(gap);
        this.soak.kills++;
        this.soak.killsByState[state] = (this.soak.killsByState[state] ?? 0) + 1;
        this.#killedPid = driver.pid;
        this.#killedEpoch = epoch;
        return;
      }
      if (this.#givenUp !== undefined) throw new Error(`${this.name} is ${this.#givenUp}`);
      if (performance.now() > deadline) throw new Error(`No driver of ${this.name} within ${PATIENCE_MS} ms`);
      await sleep(PID_POLL_MS);
    }
  }

  /** Right after a kill, and without a flush: nothing is there but what the shadow has kept, and what was durable. */
  async #readBack(): Promise<void> {
    await within(`what is in flight at ${this.name}`, PATIENCE_MS, this.#load.stop());
    await within(`the read-back of ${this.name}`, PATIENCE_MS, this.#load.readBack({ flush: false }));
    this.soak.readBacks++;
  }

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const waiting = async (): Promise<void> => {
      while (!isSo()) {
        if (this.#givenUp !== undefined) throw new Error(`${this.name} is ${this.#givenUp}`);
        await this.#changed.promise;
      }
    };
    await within(`${this.name} to have come to ${what}`, PATIENCE_MS, waiting());
  }
}

function connected(uri: string, count: number): Promise<NbdClient[]> {
  return Promise.all(Array.from({ length: count }, () => NbdClient.connect(uri)));
}
