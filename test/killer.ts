import { setTimeout as sleep } from "node:timers/promises";
import type { Front } from "./serve.ts";

/** Ends a front's driver by SIGKILL, again and again, each time `afterLiveMs` after it has become live, as a function of the kills so far. */
export class Killer {
  readonly #front: Front;
  readonly #afterLiveMs: (kills: number) => number;
  readonly #done: Promise<void>;
  #kills = 0;
  #stopped = false;

  constructor(front: Front, afterLiveMs: number | ((kills: number) => number)) {
    this.#front = front;
    this.#afterLiveMs = typeof afterLiveMs === "number" ? () => afterLiveMs : afterLiveMs;
    this.#done = this.#run();
    // Who waits for `stop` learns of a failure.
    this.#done.catch(() => {});
  }

  get kills(): number {
    return this.#kills;
  }

  /** Kills no more; the device is live when this settles. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    let { epoch, driver } = await this.#front.until("live");
    for (;;) {
      await sleep(this.#afterLiveMs(this.#kills));
      if (this.#stopped) return;
      if (driver.pid !== null) process.kill(driver.pid, "SIGKILL");
      this.#kills++;
      ({ epoch, driver } = await this.#front.until("live", epoch));
    }
  }
}
