import { existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Scene } from "./scene.ts";
import type { Front } from "./serve.ts";
import { ONCE } from "./sick-orders.ts";
import { until } from "./until.ts";

const LIVE_TIMEOUT_MS = 20_000;
const ORDERS_TIMEOUT_MS = 5000;

export const SICK_DRIVER = fileURLToPath(new URL("./sick-driver.ts", import.meta.url));

/** The orders of one device whose driver is sick-driver.ts. */
export class SickDisk {
  /** For `serve`. */
  readonly spec: string;
  readonly name: string;
  readonly #scene: Scene;

  /** `options`: of the driver, beside its orders. */
  constructor(scene: Scene, name: string, options: string) {
    this.#scene = scene;
    this.name = name;
    this.spec = `${SICK_DRIVER}?${options}&orders=${scene.path(this.#file)}`;
  }

  /** From its next incarnation on each one is under these orders, until others stand. None: it is well again. */
  order(...orders: string[]): void {
    if (orders.length === 0) rmSync(this.#scene.path(this.#file), { force: true });
    else this.#scene.write(this.#file, `${orders.join("\n")}\n`);
  }

  /** Its incarnation carries these out once each, as soon as it is live. Returns when that begins, as Date.now(). */
  async orderOnce(front: Front, ...orders: string[]): Promise<number> {
    const file = this.#scene.write(`${this.#file}${ONCE}`, `${orders.join("\n")}\n`);
    const orderedAt = await signal(front, this.name, "SIGUSR2");
    await taken(file);
    return orderedAt;
  }

  /** Waits until an order for an opening is being carried out. */
  async opens(): Promise<void> {
    await taken(this.#scene.path(this.#file));
  }

  get #file(): string {
    return `${this.name}.orders`;
  }
}

/** The driver takes orders away before it carries them out. */
async function taken(file: string): Promise<void> {
  await until("the driver to take its orders", ORDERS_TIMEOUT_MS, () => (existsSync(file) ? undefined : true));
}

/** Sends a signal to a device's driver, as soon as that is live. Returns the time of it, as Date.now(). */
export async function signal(front: Front, name: string, what: NodeJS.Signals): Promise<number> {
  const pid = await until(`a live driver of ${name}`, LIVE_TIMEOUT_MS, async () => {
    const { driver, state } = await front.device(name);
    return state === "live" ? (driver.pid ?? undefined) : undefined;
  });
  const now = Date.now();
  process.kill(pid, what);
  return now;
}
