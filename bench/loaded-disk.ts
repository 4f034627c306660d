import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../src/block/errors.ts";
import { askFront } from "../src/front/control-client.ts";
import type { DeviceStatus } from "../src/front/status.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { deviceStatus, type SkinkOptions, type SkinkServer, startSkink } from "./servers.ts";
import { VerifyingLoad } from "./verifying-load.ts";
import type { Workbench } from "./workbench.ts";

/** Requests in flight. */
export const DEPTH = 16;
const POLL_MS = 2;
const RECOVERY_TIMEOUT_MS = 30_000;

/** A front with one device, and a client that puts a verifying load on it. */
export class LoadedDisk {
  readonly server: SkinkServer;
  readonly load: VerifyingLoad;
  readonly #bench: Workbench;
  readonly #client: NbdClient;

  private constructor(bench: Workbench, server: SkinkServer, client: NbdClient) {
    this.#bench = bench;
    this.server = server;
    this.#client = client;
    this.load = new VerifyingLoad(client, DEPTH);
  }

  /** The load is at rest yet. */
  static async start(bench: Workbench, options: SkinkOptions): Promise<LoadedDisk> {
    const server = await startSkink(bench, options);
    return new LoadedDisk(bench, server, await NbdClient.connect(server.uris[0] as string));
  }

  get hasFailed(): boolean {
    return this.load.failures.length > 0;
  }

  /** Waits for an incarnation after `epoch` to be live. `undefined` where the load has failed meanwhile: it knows why. */
  async live(epoch: number): Promise<DeviceStatus | undefined> {
    const deadline = performance.now() + RECOVERY_TIMEOUT_MS;
    while (!this.hasFailed) {
      const device = await deviceStatus(this.server);
      if (device.state === "live" && device.epoch > epoch) return device;
      if (performance.now() > deadline) {
        this.load.failures.push(`No recovery within ${RECOVERY_TIMEOUT_MS} ms: the device is ${device.state}`);
        return undefined;
      }
      await delay(POLL_MS, undefined, { signal: this.#bench.signal });
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
    await this.load.finish();
    await this.#client.close();
    const how = await this.#bench.stop(this.server.tool);
    const ending = how === "exit code 0" ? [] : [`The front ended with ${how}`];
    return [...this.load.failures, ...ending];
  }
}

function sendKill(pid: number): boolean {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch (error) {
    // It has ended by itself, or by the last kill, since the front was asked.
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}
