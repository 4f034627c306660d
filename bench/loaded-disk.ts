import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../src/block/errors.ts";
import { askFront } from "../src/front/control-client.ts";
import type { DeviceStatus, FrontStatus } from "../src/front/status.ts";
import { VerifyingLoad } from "../src/load/load.ts";
import { blocks } from "../src/load/patterns.ts";
import { NbdClient, type NbdClientOptions } from "../src/nbd/index.ts";
import { deviceStatus, type SkinkOptions, type SkinkServer, startSkink } from "./servers.ts";
import type { Workbench } from "./workbench.ts";

/** Requests in flight. */
export const DEPTH = 16;
const BLOCK_BYTES = 4096;
const LOAD_BYTES = 64 << 20;
/** In a hundred requests; the others are reads. */
const WRITES = 75;
/** One request of a lane in so many. */
const FLUSH_EVERY = 32;
const POLL_MS = 2;
/** While a front starts, each question takes time that it wants itself. */
const FRONT_POLL_MS = 20;
const RECOVERY_TIMEOUT_MS = 30_000;

/** Of a client that comes to the next front at once. */
export const RECONNECT: NbdClientOptions = {
  reconnect: { attempts: Number.POSITIVE_INFINITY, delayMs: 10, maxDelayMs: 200 },
};

/** A front with one device, and a client that puts a verifying load on it. */
export class LoadedDisk {
  readonly load: VerifyingLoad;
  /** What else has gone wrong. */
  readonly failures: string[] = [];
  readonly #bench: Workbench;
  readonly #client: NbdClient;
  #server: SkinkServer;

  private constructor(bench: Workbench, server: SkinkServer, client: NbdClient) {
    this.#bench = bench;
    this.#server = server;
    this.#client = client;
    this.load = new VerifyingLoad([client], {
      pattern: blocks(BLOCK_BYTES, WRITES, FLUSH_EVERY),
      seed: 1,
      depth: DEPTH,
      bytes: LOAD_BYTES,
      sectorBytes: BLOCK_BYTES,
    });
  }

  /** The load is at rest yet. */
  static async start(bench: Workbench, options: SkinkOptions, client: NbdClientOptions = {}): Promise<LoadedDisk> {
    const server = await startSkink(bench, options);
    return new LoadedDisk(bench, server, await NbdClient.connect(server.uris[0] as string, client));
  }

  get server(): SkinkServer {
    return this.#server;
  }

  /** From here on another one serves it. */
  servedBy(server: SkinkServer): void {
    this.#server = server;
  }

  get hasFailed(): boolean {
    const { errors, wrong } = this.load.tally;
    return errors + wrong + this.failures.length > 0;
  }

  /** Waits for an incarnation after `epoch` to be live. `undefined` where the load has failed meanwhile: it knows why. */
  async live(epoch: number): Promise<DeviceStatus | undefined> {
    const deadline = performance.now() + RECOVERY_TIMEOUT_MS;
    while (!this.hasFailed) {
      const device = await deviceStatus(this.server);
      if (device.state === "live" && device.epoch > epoch) return device;
      if (performance.now() > deadline) {
        this.failures.push(`No recovery within ${RECOVERY_TIMEOUT_MS} ms: the device is ${device.state}`);
        return undefined;
      }
      await delay(POLL_MS, undefined, { signal: this.#bench.signal });
    }
    return undefined;
  }

  /**
   * Waits for another front than that with the pid `before` to have the device live. `undefined` where the load has failed meanwhile:
   * it knows why.
   */
  async nextFront(before: number): Promise<FrontStatus | undefined> {
    const deadline = performance.now() + RECOVERY_TIMEOUT_MS;
    while (!this.hasFailed) {
      const status = await askFront(this.server.control, { command: "status" }).catch((error) => {
        // There is none at the moment.
        if (error instanceof SkinkError && error.code === "no-front") return undefined;
        throw error;
      });
      if (status !== undefined && status.pid !== before && status.devices[0]?.state === "live") return status;
      if (performance.now() > deadline) this.failures.push(`No front within ${RECOVERY_TIMEOUT_MS} ms`);
      await delay(FRONT_POLL_MS, undefined, { signal: this.#bench.signal });
    }
    return undefined;
  }

  /** Kills the process of the incarnation that there is now. False where there is none. */
  async kill(): Promise<boolean> {
    const { driver } = await deviceStatus(this.server);
    return driver.pid !== null && sendKill(driver.pid);
  }

  /** Ends the wait for the next attempt that follows when incarnations in a row have died before they did anything. */
  async soothe(): Promise<void> {
    const { name, state } = await deviceStatus(this.server);
    if (state === "live") return;
    try {
      await askFront(this.server.control, { command: "restart", name });
    } catch (error) {
      // It is about to be live by itself.
      if (!(error instanceof SkinkError)) throw error;
    }
    await this.live(0);
  }

  /** Reads everything back and stops the front. Returns what has gone wrong since the start, a line each. */
  async end(): Promise<string[]> {
    await this.load.stop();
    await this.load.readBack();
    await this.#client.close();
    const how = await this.#bench.stop(this.server.tool);
    const ending = how === "exit code 0" ? [] : [`The front ended with ${how}`];
    const { errors, firstError, wrong, wrongs } = this.load.tally;
    const refused = errors === 0 ? [] : [`${errors} requests failed, the first one: ${firstError}`];
    const unnamed = wrong - wrongs.length;
    const more = unnamed === 0 ? [] : [`${unnamed} more sectors were wrong`];
    return [...this.failures, ...refused, ...wrongs.map(({ description }) => description), ...more, ...ending];
  }
}

/** False where there is no such process any more. */
export function sendKill(pid: number): boolean {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch (error) {
    // It has ended by itself, or by the last kill, since the front was asked.
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}
