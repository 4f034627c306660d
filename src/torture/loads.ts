import { type LoadOptions, type LoadTally, VerifyingLoad } from "../load/load.ts";
import { NbdClient } from "../nbd/client/client.ts";

/** Connections of a load, and requests in flight on each. */
const CLIENTS = 2;
const DEPTH = 8;
/** Of a server that stands alone: it is back soon, however often it has gone, and a client that waits longer would stall for that. */
const RECONNECT = { attempts: Number.POSITIVE_INFINITY, delayMs: 10, maxDelayMs: 100 };
/** From the start of the device: small enough to be read back in each trial, and for requests to overlap. */
export const REGION_BYTES = 2 << 20;

/** The connections of one load. Rejects where one can't be made; those that could are in `clients`. */
export async function connectLoad(uri: string, reconnects: boolean, clients: NbdClient[]): Promise<void> {
  do {
    clients.push(await NbdClient.connect(uri, reconnects ? { reconnect: RECONNECT } : {}));
    // Elsewhere a flush is for the writes of its own connection.
  } while (clients[0]?.canMultiConn === true && clients.length < CLIENTS);
}

/** The loads of a trial, one for each of its devices, as if they were one. They are the same but for their seeds. */
export class Loads {
  readonly #loads: readonly VerifyingLoad[];

  /** The connections of each device, at least one. */
  constructor(devices: readonly (readonly NbdClient[])[], options: Pick<LoadOptions, "pattern" | "seed" | "mayMix">) {
    this.#loads = devices.map(
      (clients, index) =>
        new VerifyingLoad(clients as readonly [NbdClient, ...NbdClient[]], {
          ...options,
          // None reads another one's data without a complaint.
          seed: options.seed + index,
          depth: DEPTH,
          bytes: REGION_BYTES,
        }),
    );
  }

  start(): void {
    for (const load of this.#loads) load.start();
  }

  async stop(): Promise<void> {
    await this.#all((load) => load.stop());
  }

  async writeAll(): Promise<void> {
    await this.#all((load) => load.writeAll());
  }

  async readBack(): Promise<void> {
    await this.#all((load) => load.readBack());
  }

  /** What has come of all of them so far. */
  get tally(): LoadTally {
    const tallies = this.#loads.map(({ tally }) => tally);
    const sum = (of: (tally: LoadTally) => number): number => tallies.reduce((total, tally) => total + of(tally), 0);
    return {
      requests: sum(({ requests }) => requests),
      reads: sum(({ reads }) => reads),
      writes: sum(({ writes }) => writes),
      flushes: sum(({ flushes }) => flushes),
      errors: sum(({ errors }) => errors),
      firstError: tallies.find(({ firstError }) => firstError !== undefined)?.firstError,
      wrong: sum(({ wrong }) => wrong),
      flushLies: sum(({ flushLies }) => flushLies),
      wrongs: tallies.flatMap(({ wrongs }) => wrongs),
      longestGapMs: Math.max(...tallies.map(({ longestGapMs }) => longestGapMs)),
    };
  }

  async #all(work: (load: VerifyingLoad) => Promise<void>): Promise<void> {
    await Promise.all(this.#loads.map(work));
  }
}
