import { setTimeout as sleep } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { SeededRandom } from "../block/random.ts";
import { NbdRequestError } from "../nbd/client/errors.ts";
import { type Content, SectorHistory } from "./history.ts";
import { Lane, type LoadClient } from "./lane.ts";
import type { LoadPattern } from "./pattern.ts";
import { type Choice, PATTERNS, type PatternMaker } from "./patterns.ts";
import { Counts, type LoadTally } from "./tally.ts";

export type { LoadClient } from "./lane.ts";
export type { LoadTally } from "./tally.ts";

/** Stamps need some room: also of servers whose blocks are smaller. */
const MIN_SECTOR_BYTES = 512;
/** Of each request that is one of those for the whole region. */
const WHOLE_REGION_BYTES = 256 << 10;

export interface LoadOptions {
  readonly pattern: LoadPattern | PatternMaker;
  /** Of the choices, which are the same for the same seed, lane by lane, and of the stamps. */
  readonly seed: number;
  /** Requests in flight, of each client. */
  readonly depth: number;
  /** The part of the device that is used, from its start; the device's size if that is less. */
  readonly bytes: number;
  /** How long a lane waits after each request. Not at all if left out. */
  readonly pauseMs?: number;
  /** What is judged as one: 512 if left out, and the export's block where that is more. Larger ones cost less to judge. */
  readonly sectorBytes?: number;
  /** See HistoryOptions. */
  readonly mayMix?: boolean;
}

/**
 * Clients that write, read and check a device which is all zeroes, from several lanes each that don't wait for each other.
 * Overlapping requests are in flight at once, and any order is right. What a server does is counted, and never thrown.
 */
export class VerifyingLoad {
  readonly history: SectorHistory;
  readonly tally: LoadTally;
  readonly #count: Counts;
  readonly #clients: readonly LoadClient[];
  readonly #pauseMs: number;
  readonly #lanes: readonly Lane[];
  #running: Promise<void> | undefined;
  #stopping = false;
  #lastAt = 0;
  #gapMs = 0;
  #waiting: (() => void)[] = [];

  /** Nothing is asked yet. All clients are of the same export. Throws `too-small` where that has no room for a sector. */
  constructor(clients: readonly [LoadClient, ...LoadClient[]], options: LoadOptions) {
    const { pattern, seed, depth, bytes, pauseMs = 0, mayMix = false } = options;
    const [{ minimumBlockSize, size }] = clients;
    const sectorBytes = Math.max(options.sectorBytes ?? MIN_SECTOR_BYTES, minimumBlockSize);
    const sectors = Math.floor(Math.min(bytes, size) / sectorBytes);
    if (sectors === 0) {
      const wanted = `room for a sector of ${sectorBytes} was wanted`;
      throw new SkinkError("too-small", `Cannot load ${bytes} bytes of a device of ${size}: ${wanted}`);
    }
    const lanes = clients.length * depth;
    const make = typeof pattern === "function" ? pattern : PATTERNS[pattern];
    this.history = new SectorHistory({ sectors, sectorBytes, salt: seed >>> 0, mayMix });
    this.#clients = clients;
    this.#pauseMs = pauseMs;
    this.#lanes = Array.from(
      { length: lanes },
      (_, lane) =>
        new Lane(
          clients[lane % clients.length] as LoadClient,
          make({ sectors, sectorBytes, lane, lanes }),
          new SeededRandom(seed, lane),
        ),
    );
    this.#count = new Counts();
    this.tally = this.#count;
  }

  /** Starts it, or goes on with it after a stop. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#stopping = false;
    this.#lastAt = performance.now();
    this.#running = Promise.all(this.#lanes.map((lane) => this.#run(lane))).then(() => {
      this.#running = undefined;
      this.#wake();
    });
  }

  /** Asks nothing more; resolves when what is in flight is over. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  /**
   * Writes every sector of the region once, one request after another: for who has to have seen each of them. For a load that is at
   * rest. Errors are counted as those of any request, and the rest is written all the same; sectors that were refused may hold
   * anything until a write of them succeeds.
   */
  async writeAll(): Promise<void> {
    this.#lastAt = performance.now();
    const [client] = this.#clients as [LoadClient];
    const { sectors, sectorBytes } = this.history;
    const most = this.#wholeRegionSectors();
    for (let sector = 0; sector < sectors; sector += most) {
      const count = Math.min(most, sectors - sector);
      const error = await this.#change("stamp", { sector, count }, false, (change) =>
        client.write(sector * sectorBytes, this.history.stamped(change)),
      );
      if (error !== undefined) this.history.acknowledged(this.history.begin("unspecified", sector, count));
      if (isGone(client, error)) return;
    }
  }

  /**
   * Flushes, if that isn't left out, then reads and checks every sector of the region, at the depth of the load. For a load that
   * is at rest: what it was promised so far has to be there with a flush or without.
   */
  async readBack({ flush = true } = {}): Promise<void> {
    this.#lastAt = performance.now();
    const asked = this.#clients.find(({ connected }) => connected) ?? this.#clients[0];
    if (flush && asked?.canFlush) await this.#flush(asked);
    const { sectors, sectorBytes } = this.history;
    const most = this.#wholeRegionSectors();
    const left = Array.from({ length: Math.ceil(sectors / most) }, (_, part) => part * most).reverse();
    let lanes = this.#lanes;
    const work = async ({ client }: Lane): Promise<void> => {
      const into = new Uint8Array(most * sectorBytes);
      for (let sector = left.pop(); sector !== undefined; sector = left.pop()) {
        const count = Math.min(most, sectors - sector);
        const error = await this.#read(client, sector, count, into.subarray(0, count * sectorBytes));
        if (!isGone(client, error)) continue;
        // It is for those who can still ask.
        left.push(sector);
        lanes = lanes.filter((lane) => lane.client !== client);
        return;
      }
    };
    while (left.length > 0 && lanes.length > 0) await Promise.all(lanes.map(work));
  }

  /** The longest time between two requests' ends since the last call, one of them since then. Milliseconds. */
  takeLongestGapMs(): number {
    const gap = this.#gapMs;
    this.#gapMs = 0;
    return gap;
  }

  /**
   * Resolves with the next end of a request, or when the load is at rest; then from the event loop, so that whoever asks again and
   * again stops nobody.
   */
  nextCompletion(): Promise<void> {
    if (this.#running === undefined) return new Promise((resolve) => setImmediate(resolve));
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #run(lane: Lane): Promise<void> {
    const { client, choice } = lane;
    while (!this.#stopping) {
      lane.draw(lane.random, choice);
      const error = await this.#request(lane);
      if (error !== undefined) {
        if (isGone(client, error)) return;
        // What is refused without asking the server must not keep the others from their turns.
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (this.#pauseMs > 0) await sleep(this.#pauseMs);
    }
  }

  /** Resolves with the error that the request ended in. */
  #request(lane: Lane): Promise<Error | undefined> {
    const { client, choice } = lane;
    const { sector, count, mayTrim } = choice;
    const fua = choice.fua && client.canFua;
    const [offset, length] = [sector * this.history.sectorBytes, count * this.history.sectorBytes];
    switch (lane.kind) {
      case "read":
        return this.#read(client, sector, count, lane.memory(length));
      case "flush":
        return this.#flush(client);
      case "zero":
        return this.#change("zeroes", choice, fua, () => client.zero(offset, length, { mayTrim, fua }));
      case "trim":
        return this.#change("unspecified", choice, false, () => client.trim(offset, length));
      case "write":
        return this.#change("stamp", choice, fua, (change) => {
          const data = lane.memory(length);
          this.history.stamp(change, data);
          return client.write(offset, data, { fua });
        });
    }
  }

  #wholeRegionSectors(): number {
    const { sectors, sectorBytes } = this.history;
    return Math.min(sectors, Math.max(1, WHOLE_REGION_BYTES / sectorBytes));
  }

  async #read(client: LoadClient, sector: number, count: number, into: Uint8Array): Promise<Error | undefined> {
    const read = this.history.beginRead(sector, count);
    try {
      await client.readInto(sector * this.history.sectorBytes, into);
    } catch (error) {
      this.history.abandonRead(read);
      return this.#over("read", error);
    }
    this.#count.found(this.history.endRead(read, into));
    this.#count.reads++;
    return this.#over("read");
  }

  async #change(
    content: Content,
    { sector, count }: Pick<Choice, "sector" | "count">,
    fua: boolean,
    ask: (change: ReturnType<SectorHistory["begin"]>) => Promise<void>,
  ): Promise<Error | undefined> {
    const change = this.history.begin(content, sector, count);
    try {
      await ask(change);
    } catch (error) {
      this.history.failed(change);
      return this.#over("write", error);
    }
    this.history.acknowledged(change, fua);
    this.#count.writes++;
    return this.#over("write");
  }

  async #flush(client: LoadClient): Promise<Error | undefined> {
    const token = this.history.flushBegun();
    try {
      await client.flush();
    } catch (error) {
      return this.#over("flush", error);
    }
    this.history.flushAcknowledged(token);
    this.#count.flushes++;
    return this.#over("flush");
  }

  /** A request is over, with that error or none. */
  #over(what: string, error?: unknown): Error | undefined {
    const now = performance.now();
    const gap = now - this.#lastAt;
    this.#lastAt = now;
    this.#gapMs = Math.max(this.#gapMs, gap);
    this.#count.longestGapMs = Math.max(this.#count.longestGapMs, gap);
    this.#count.requests++;
    const thrown = error === undefined || error instanceof Error ? error : new Error(String(error));
    if (thrown !== undefined) {
      this.#count.errors++;
      this.#count.firstError ??= `${what}: ${thrown.message}`;
    }
    if (this.#waiting.length > 0) this.#wake();
    return thrown;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Whether there will be no other connection: a client that makes one again keeps its requests until then. */
function isGone({ connected }: LoadClient, error: Error | undefined): boolean {
  return error !== undefined && !connected && !(error instanceof NbdRequestError);
}
