import { setTimeout as sleep } from "node:timers/promises";
import { NbdClient, type NbdClientOptions } from "../src/nbd/index.ts";
import type { Scene } from "./scene.ts";
import { SECTOR_BYTES, SectorHistory } from "./sector-history.ts";
import { within } from "./until.ts";

export const DISK_BYTES = 4 << 20;
const SECTORS = DISK_BYTES / SECTOR_BYTES;
const MAX_REQUEST_SECTORS = 64;
/** Half of the requests go here, so that many of them overlap. */
const HOT_SECTORS = 256;
const CLIENTS = 3;
const REQUESTS_EACH = 6;
const REPLY_TIMEOUT_MS = 20_000;

/** A whole number, 0 ≤ n < bound. */
export type Random = (bound: number) => number;

export interface LoadOptions {
  /** How long each request of a client waits for its turn after the one before. Not at all if left out. */
  readonly pauseMs?: number;
  /** Of its clients: with `reconnect`, the load goes on when its server is another one. */
  readonly client?: NbdClientOptions;
}

/** A load that leaves the cores to others, for the most part. */
export const GENTLE: LoadOptions = { pauseMs: 5 };

/** Several clients that write and check the same disk of DISK_BYTES, from different connections, all the time. */
export class Load {
  readonly history = new SectorHistory(SECTORS);
  readonly #clients: readonly NbdClient[];
  readonly #random: Random;
  readonly #pauseMs: number;
  readonly #lanes: Promise<void>[];
  #isOver = false;
  #failure: unknown;
  /** When the newest flush of those acknowledged was asked for. What came before it has to be durable. */
  #flushedSince: number;

  static async start(scene: Scene, uri: string, random: Random, options: LoadOptions = {}): Promise<Load> {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => NbdClient.connect(uri, options.client)));
    scene.defer(() => {
      for (const client of clients) client.destroy();
    });
    return new Load(clients, random, options);
  }

  private constructor(clients: readonly NbdClient[], random: Random, { pauseMs = 0 }: LoadOptions) {
    this.#clients = clients;
    this.#random = random;
    this.#pauseMs = pauseMs;
    this.#flushedSince = this.history.beginRead();
    this.#lanes = clients.flatMap((client) => Array.from({ length: REQUESTS_EACH }, () => this.#lane(client)));
  }

  /** Whether a request has failed, or was wrong. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Asks nothing more, and waits for what is in flight. Rejects where a request has failed, or was wrong. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await within("the replies to what is in flight", REPLY_TIMEOUT_MS, Promise.all(this.#lanes));
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** As `stop`, of clients whose server is gone: what was in flight is neither done nor undone. */
  async stopWithoutServer(): Promise<void> {
    await this.stop().catch((error) => {
      if (error.code !== "disconnected") throw error;
    });
  }

  /** Reads the whole disk. Rejects where it holds what it can't. */
  async readAll(): Promise<void> {
    const startedAt = this.history.beginRead();
    this.history.endRead(startedAt, 0, await (this.#clients[0] as NbdClient).read(0, DISK_BYTES));
  }

  /** Checks a medium that has lost its power: all of it was written since the newest flush, or is from before it. */
  checkMedium(bytes: Uint8Array): void {
    this.history.endRead(this.#flushedSince, 0, bytes);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #lane(client: NbdClient): Promise<void> {
    try {
      while (!this.#isOver) {
        await this.#request(client);
        if (this.#pauseMs > 0) await sleep(this.#pauseMs);
      }
    } catch (error) {
      this.#failure ??= error;
      this.#isOver = true;
    }
  }

  async #request(client: NbdClient): Promise<void> {
    const { history } = this;
    const random = this.#random;
    const count = 1 + random(random(4) === 0 ? MAX_REQUEST_SECTORS : 8);
    const sector = random((random(2) === 0 ? HOT_SECTORS : SECTORS) - count);
    const [offset, length] = [sector * SECTOR_BYTES, count * SECTOR_BYTES];
    const choice = random(100);
    if (choice < 30) {
      const startedAt = history.beginRead();
      history.endRead(startedAt, sector, await client.read(offset, length));
    } else if (choice < 36) {
      const startedAt = history.beginRead();
      await client.flush();
      this.#flushed(startedAt);
    } else if (choice < 44) {
      const change = history.begin("zeroes", sector, count);
      await client.zero(offset, length, { mayTrim: random(2) === 0, fua: random(4) === 0 });
      history.end(change);
    } else if (choice < 49 && client.canTrim) {
      const change = history.begin("unspecified", sector, count);
      await client.trim(offset, length);
      history.end(change);
    } else {
      const change = history.begin("stamp", sector, count);
      await client.write(offset, history.stamped(change), { fua: random(8) === 0 });
      history.end(change);
    }
  }

  /** The history keeps what a read of the medium may find, as if that read had begun with the flush. */
  #flushed(startedAt: number): void {
    this.history.abandonRead(Math.min(this.#flushedSince, startedAt));
    this.#flushedSince = Math.max(this.#flushedSince, startedAt);
  }
}

/** Whole numbers below a bound, the same ones for the same seed: a linear congruential generator (MMIX). */
export function seededRandom(seed: number): Random {
  let state = BigInt(seed);
  return (bound) => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(bound));
  };
}
