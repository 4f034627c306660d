import { strict as assert } from "node:assert";
import { VerifyingLoad } from "../src/load/load.ts";
import { PATTERNS, type PatternMaker } from "../src/load/patterns.ts";
import type { Wrong } from "../src/load/wrong.ts";
import { NbdClient, type NbdClientOptions } from "../src/nbd/index.ts";
import type { Scene } from "./scene.ts";
import { within } from "./until.ts";

export const DISK_BYTES = 4 << 20;
const CLIENTS = 3;
const REQUESTS_EACH = 6;
const REPLY_TIMEOUT_MS = 20_000;
const READ_BACK_TIMEOUT_MS = 60_000;

export interface LoadOptions {
  /** How long each request of a client waits for its turn after the one before. Not at all if left out. */
  readonly pauseMs?: number;
  /** Of its clients: with `reconnect`, the load goes on when its server is another one. */
  readonly client?: NbdClientOptions;
}

/** A load that leaves the cores to others, for the most part. */
export const GENTLE: LoadOptions = { pauseMs: 5 };

/** Half of the requests in a few sectors, so that many of them overlap; the others anywhere. */
const mixed: PatternMaker = (region) => {
  const draws = [PATTERNS.random(region), PATTERNS.overlapping(region)] as const;
  return (random, choice) => draws[random.below(2) as 0 | 1](random, choice);
};

/** Several clients that write and check the same disk of DISK_BYTES, from different connections, all the time. None may fail. */
export class Load {
  readonly #clients: readonly NbdClient[];
  readonly #load: VerifyingLoad;

  static async start(scene: Scene, uri: string, seed: number, options: LoadOptions = {}): Promise<Load> {
    const connect = () => NbdClient.connect(uri, options.client);
    const clients = await Promise.all([connect(), ...Array.from({ length: CLIENTS - 1 }, connect)]);
    scene.defer(() => {
      for (const client of clients) client.destroy();
    });
    return new Load(clients as [NbdClient, ...NbdClient[]], seed, options);
  }

  private constructor(clients: [NbdClient, ...NbdClient[]], seed: number, { pauseMs = 0 }: LoadOptions) {
    this.#clients = clients;
    this.#load = new VerifyingLoad(clients, { pattern: mixed, seed, depth: REQUESTS_EACH, bytes: DISK_BYTES, pauseMs });
    this.#load.start();
  }

  /** Whether a request has failed, or was wrong. */
  get hasFailed(): boolean {
    const { errors, wrong } = this.#load.tally;
    return errors + wrong > 0;
  }

  /** Asks nothing more, and waits for what is in flight. Rejects where a request has failed, or was wrong. */
  async stop(): Promise<void> {
    await within("the replies to what is in flight", REPLY_TIMEOUT_MS, this.#load.stop());
    this.#check();
  }

  /** As `stop`, of clients whose server is gone: what was in flight is neither done nor undone. */
  async stopWithoutServer(): Promise<void> {
    await within("the replies to what is in flight", REPLY_TIMEOUT_MS, this.#load.stop());
    const { firstError = "", wrongs } = this.#load.tally;
    assert.match(firstError, /^\w+: Cannot go on with the NBD connection/);
    needNothingWrong(wrongs);
  }

  /** Reads the whole disk. Rejects where that fails, or the disk holds what it can't. */
  async readAll(): Promise<void> {
    await within("the whole disk", READ_BACK_TIMEOUT_MS, this.#load.readBack({ flush: false }));
    this.#check();
  }

  /** Checks the bytes of the whole disk, from wherever they are, as those of a read are checked. */
  checkBytes(bytes: Uint8Array): void {
    const { history } = this.#load;
    needNothingWrong(history.endRead(history.beginRead(0, history.sectors), bytes.subarray(0, DISK_BYTES)));
  }

  /** Checks a medium that has lost its power: all of it was written since the newest flush, or is from before it. */
  checkMedium(bytes: Uint8Array): void {
    needNothingWrong(this.#load.history.afterPowerCut(0, bytes.subarray(0, DISK_BYTES)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  #check(): void {
    const { errors, firstError, wrongs } = this.#load.tally;
    assert.equal(errors, 0, firstError);
    needNothingWrong(wrongs);
  }
}

function needNothingWrong(wrongs: readonly Wrong[]): void {
  assert.deepEqual(
    wrongs.map(({ description }) => description),
    [],
  );
}
