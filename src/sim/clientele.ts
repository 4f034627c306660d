import type { SeededRandom } from "../block/random.ts";
import { Session } from "../nbd/server/session.ts";
import type { Device } from "../shadow/device.ts";
import type { VirtualClock } from "./clock.ts";
import { describe, type Entry, type History } from "./history.ts";
import type { Life } from "./life.ts";
import type { Profile } from "./profile.ts";
import { type ClientScript, RandomProgram, Script, ScriptedProgram } from "./program.ts";
import { type ClientLine, type Draft, type Program, SimClient } from "./sim-client.ts";
import { SimConnection } from "./sim-connection.ts";
import type { Trace } from "./trace.ts";
import { WatchedDevice, type Witness } from "./watched-device.ts";

const SCRIPT_DEPTH = 8;

export interface ClientelePorts {
  readonly profile: Profile;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly history: History;
  readonly witness: Witness;
  /** Off: nobody hangs up any more. */
  faults(): boolean;
  /** A request failed; is there a reason? */
  checkError(entry: Entry, errno: number): void;
}

/** Where connections are accepted. */
export interface Server {
  readonly life: Life;
  readonly device: Device;
}

interface Caller {
  readonly connection: SimConnection;
  readonly line: ClientLine;
}

/** The clients of a world, each with its connections and the sessions at their other ends. */
export class Clientele {
  readonly #ports: ClientelePorts;
  #clients: SimClient[] = [];
  #programs: { readonly played: ClientScript }[] = [];
  #connections = 0;
  /** Those that may not be closed yet. */
  #open: SimConnection[] = [];
  /** The listening socket outlives the front: who comes while there is none waits here. */
  #callers: Caller[] = [];
  #server: Server | undefined;
  #requests = 0;

  constructor(ports: ClientelePorts) {
    this.#ports = ports;
  }

  /** Requests that were sent. */
  get requests(): number {
    return this.#requests;
  }

  /** Everybody has come to his end. */
  get finished(): boolean {
    return this.#clients.every((client) => client.finished);
  }

  /** What they wait for, for people. */
  get waitsFor(): string {
    return this.#clients.flatMap((client) => client.waitsFor.map(describe)).join(", ") || "none";
  }

  /** A front has come that accepts connections. */
  served(server: Server): void {
    this.#server = server;
    // It may die of the first.
    while (this.#server === server) {
      const caller = this.#callers.shift();
      if (caller === undefined) return;
      this.#accept(server, caller);
    }
  }

  /** The front dies, and all connections with it. `inOrder`: its last replies arrive. */
  frontDied(inOrder: boolean): void {
    this.#server = undefined;
    for (const connection of this.#open.splice(0)) connection.serverDies(inOrder);
  }

  /** What the clients of the profile, or of the scripts in their place, have done so far. */
  get played(): readonly ClientScript[] {
    return this.#programs.map(({ played }) => played);
  }

  /** The request that has waited longest for its answer, and since when. */
  get longestWait(): { readonly entry: Entry; readonly since: number } | undefined {
    let longest: { readonly entry: Entry; readonly since: number } | undefined;
    for (const { longestWait } of this.#clients) {
      if (longestWait !== undefined && longestWait.since < (longest?.since ?? Number.POSITIVE_INFINITY))
        longest = longestWait;
    }
    return longest;
  }

  /** Those of the profile, or those who do as these scripts say. */
  start(scripts?: readonly ClientScript[]): void {
    const { profile, random, faults } = this.#ports;
    const { extents } = profile.driver;
    for (const script of scripts ?? []) {
      this.#add(() => {
        const program = new ScriptedProgram(script, { random: random.fork(), extents, faults });
        this.#programs.push(program);
        return program;
      });
    }
    if (scripts !== undefined) return;
    for (const client of profile.clients) {
      this.#add((self) => {
        const outstanding = (): readonly Entry[] => self().waitsFor;
        const program = new RandomProgram(client, { random: random.fork(), extents, faults, outstanding });
        this.#programs.push(program);
        return program;
      });
    }
  }

  /** One that does exactly this. */
  run(script: readonly Draft[]): SimClient {
    return this.#add(() => new Script(script, SCRIPT_DEPTH));
  }

  #add(makeProgram: (self: () => SimClient) => Program): SimClient {
    const { clock, trace, history, profile, checkError } = this.#ports;
    const program = makeProgram(() => client);
    const client: SimClient = new SimClient(
      {
        clock,
        trace,
        history,
        blockSize: profile.blockSize,
        connect: (line, fragments) => this.#connect(line, fragments),
        nextId: () => ++this.#requests,
        checkError,
      },
      program,
    );
    this.#clients.push(client);
    client.start();
    return client;
  }

  #connect(line: ClientLine, fragments: boolean): SimConnection {
    const { clock, random, profile } = this.#ports;
    const inFragments = fragments ? profile.blockSize : undefined;
    const connection = new SimConnection(++this.#connections, { clock, random: random.fork() }, inFragments);
    connection.connect(line);
    if (this.#server === undefined) this.#callers.push({ connection, line });
    else this.#accept(this.#server, { connection, line });
    return connection;
  }

  #accept({ life, device }: Server, { connection, line }: Caller): void {
    if (connection.closed) return;
    this.#open = this.#open.filter((other) => !other.closed);
    this.#open.push(connection);
    const { trace, history, witness, profile } = this.#ports;
    const watched = new WatchedDevice(device, line, history, trace, witness);
    const offered = { name: "disk", description: "", device: watched };
    const exports = { list: () => [offered], find: () => offered };
    const limits = { inFlightRequests: profile.inFlightRequests };
    connection.open(life, () => new Session({ transport: connection, exports, clock: life.clock, limits }));
  }
}
