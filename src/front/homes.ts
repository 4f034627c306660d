import { closeSync } from "node:fs";
import { SkinkError } from "../block/errors.ts";
import { type OpenedLog, openLog } from "../home/disk.ts";
import type { LogRun } from "../home/log/take-up.ts";
import { checkSharedHome, createSharedHome, type SharedHome, takeUpSharedHome } from "../home/shared-ledger.ts";
import {
  type ArenaLimits,
  type Arenas,
  createHeapArenas,
  createKeptArenas,
  createSharedArenas,
  type KeptArenas,
  type SharedArenas,
} from "../link/shared-arenas.ts";
import { isOfKind, storedName } from "../service/names.ts";
import type { ServiceManager } from "../service/service-manager.ts";
import type { Home, Remains } from "../shadow/home.ts";
import { DEFAULT_LIMITS, type DeviceLimits } from "../shadow/limits.ts";
import type { Log } from "../shadow/ports.ts";
import { realClock } from "./clock.ts";
import type { LinkKind } from "./device-config.ts";
import type { HomeSpec } from "./home-spec.ts";

/** Room for payloads: those written, in flight and retained, and those being read. */
const DEFAULT_MEMORY: ArenaLimits = { writeBytes: 256 << 20, readBytes: 128 << 20 };
/** What a device with home `shm` stores for the next front, in this order. */
const WRITES = "writes";
const LEDGER = "ledger";

/** Where a device's shadow lives, and what is there. */
export interface OpenHome {
  /** The front's memory alone if left out. */
  readonly home?: Home;
  /** What a front before this one has left in it. */
  readonly remains?: Remains;
  /** Of the newest incarnation that it knows of. */
  readonly lastEpoch: number;
  /** If that is in a log: the oldest run that some of it is of. */
  readonly oldest?: LogRun | undefined;
}

/** What is known of the home of a front that has died. */
export interface HomeRecord {
  /** Where it is written that a front has died with this home, which then has to be there. */
  readonly record?: string | undefined;
  /** What doesn't count of logs that may be there. */
  readonly spent?: readonly LogRun[];
  /** To be written down for the next front. */
  readonly mark?: (spent: LogRun | undefined) => void;
}

/** A device's memory; its home is opened in it. */
export interface DeviceMemory {
  readonly memory: Arenas | SharedArenas;
  /** Only once nothing of an earlier front's drivers runs any more. Called once. */
  open(known?: HomeRecord): Promise<OpenHome>;
  /**
   * Gives all of it back. Nothing may touch a payload afterwards. `clean`: the store has everything, so that nothing need remain.
   * Returns what is wrong, one line, if the home still has something that a front would take up where the store has everything.
   */
  close(clean: boolean): Promise<string | undefined>;
}

export interface MemoryOrder {
  readonly name: string;
  readonly link: LinkKind | undefined;
  readonly limits: Partial<DeviceLimits & ArenaLimits> | undefined;
  readonly home: HomeSpec | undefined;
  readonly service: ServiceManager;
  readonly log: Log;
}

/** Makes a device's memory, or takes up what a front before this one has left of it. Throws a SkinkError. */
export function openMemory(order: MemoryOrder): DeviceMemory {
  const { home = { kind: "memory" }, limits, link } = order;
  const sizes = { ...DEFAULT_MEMORY, ...limits };
  switch (home.kind) {
    case "memory":
      return inMemory(link === "inline" ? createHeapArenas(sizes) : createSharedArenas(sizes));
    case "shm":
      return new ShmMemory(order, sizes);
    case "disk":
      return new DiskMemory(home, order, sizes);
  }
}

/** What fronts before this one have left for devices that this one doesn't have must not be forgotten in silence. */
export function refuseUnclaimed(service: ServiceManager): void {
  const left = service.inherited.find(({ name }) => isOfKind(name, LEDGER));
  if (left === undefined) return;
  const what = `what an earlier front has acknowledged is left there (${left.name}), a configuration with that device and home shm was wanted`;
  throw new SkinkError("unclaimed-shadow", `Cannot serve without the shadow of another device: ${what}`);
}

function inMemory(memory: Arenas | SharedArenas): DeviceMemory {
  return {
    memory,
    async open() {
      return { lastEpoch: 0 };
    },
    async close(clean) {
      if (clean) closeArenas(memory);
      return undefined;
    },
  };
}

/** A driver in this process that was given up goes on: what it may still write to, the heap, is never given back. */
function closeArenas(memory: Arenas | SharedArenas): void {
  if ("close" in memory) memory.close();
}

/** Two memories that outlive the front: of the data, and the ledger of what lies where. */
class ShmMemory implements DeviceMemory {
  readonly memory: KeptArenas;
  readonly #order: MemoryOrder;
  /** What a front before this one has left. */
  readonly #ledgerFd: number | undefined;
  #home: SharedHome | undefined;

  constructor(order: MemoryOrder, sizes: ArenaLimits) {
    const { name, service } = order;
    if (!service.canStore) throw noKeeper(name, "nobody keeps it for a front that comes after this one");
    this.#order = order;
    const writesFd = service.take(storedName(WRITES, name));
    this.#ledgerFd = service.take(storedName(LEDGER, name));
    if (this.#ledgerFd !== undefined && writesFd === undefined) throw incomplete(name);
    // Without a ledger it has never come to acknowledge anything.
    if (this.#ledgerFd === undefined && writesFd !== undefined) {
      service.forget(storedName(WRITES, name));
      closeSync(writesFd);
    }
    this.memory = createKeptArenas(sizes, this.#ledgerFd === undefined ? undefined : writesFd);
    if (this.#ledgerFd !== undefined) checkSharedHome(this.#ledgerFd, this.memory.writes, this.#pieces);
  }

  async open(): Promise<OpenHome> {
    const pieces = this.#pieces;
    if (this.#ledgerFd !== undefined) {
      await this.#checkKept();
      const found = takeUpSharedHome(this.#ledgerFd, this.memory.writes, pieces);
      this.#home = found;
      return { ...found, lastEpoch: found.remains.store?.epoch ?? 0 };
    }
    this.#home = createSharedHome(this.memory.writes, pieces);
    const { name, service } = this.#order;
    service.store(storedName(WRITES, name), this.memory.keptFd);
    service.store(storedName(LEDGER, name), this.#home.ledgerFd);
    await this.#checkKept();
    return { ...this.#home, lastEpoch: 0 };
  }

  async close(clean: boolean): Promise<undefined> {
    if (!clean) return;
    const { name, service, link } = this.#order;
    for (const kind of [LEDGER, WRITES]) service.forget(storedName(kind, name));
    this.#home?.close();
    if (link !== "inline") this.memory.close();
  }

  get #pieces(): number {
    return { ...DEFAULT_LIMITS, ...this.#order.limits }.pieces;
  }

  /** Before anything is acknowledged that rests on it. */
  async #checkKept(): Promise<void> {
    const { name, service } = this.#order;
    const kept = await Promise.all([WRITES, LEDGER].map((kind) => service.keeps(storedName(kind, name))));
    if (!kept.every(Boolean)) throw noKeeper(name, "it could not be stored for the next front");
  }
}

/** The data in this front's memory, and a log of it on disk. */
class DiskMemory implements DeviceMemory {
  readonly memory: Arenas | SharedArenas;
  readonly #order: MemoryOrder;
  readonly #spec: Extract<HomeSpec, { kind: "disk" }>;
  #log: OpenedLog | undefined;

  constructor(spec: Extract<HomeSpec, { kind: "disk" }>, order: MemoryOrder, sizes: ArenaLimits) {
    this.#spec = spec;
    this.#order = order;
    this.memory = order.link === "inline" ? createHeapArenas(sizes) : createSharedArenas(sizes);
  }

  async open(known?: HomeRecord): Promise<OpenHome> {
    const { path, bytes } = this.#spec;
    const { log } = this.#order;
    const limits = { ...DEFAULT_LIMITS, ...this.#order.limits };
    const { writes } = this.memory;
    this.#log = await openLog({ path, size: bytes, memory: writes, limits, clock: realClock, log, ...known });
    const { home, remains, oldest } = this.#log;
    // A log that has nothing left may go with another store.
    const store = oldest === undefined ? undefined : remains.store;
    return { home, remains: { ...remains, store }, lastEpoch: remains.store?.epoch ?? 0, oldest };
  }

  async close(clean: boolean): Promise<string | undefined> {
    const isEmpty = (await this.#log?.close()) ?? true;
    if (clean) closeArenas(this.memory);
    if (isEmpty) return undefined;
    return `the log ${this.#spec.path} can't be emptied, and what is in it will be older than the store: remove it before it is used again`;
  }
}

function incomplete(name: string): SkinkError {
  const what = "its ledger was kept, the memory that it is of was not, both were wanted";
  return new SkinkError("kept-memory", `Cannot take up the shadow of ${name}: ${what}`);
}

function noKeeper(name: string, what: string): SkinkError {
  const wanted = "--guard, or a unit of systemd with FileDescriptorStoreMax, was wanted";
  return new SkinkError("no-keeper", `Cannot keep the shadow of ${name} in shm: ${what}, ${wanted}`);
}
