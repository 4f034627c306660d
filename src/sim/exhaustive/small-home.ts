import { hash } from "node:crypto";
import { DiskLog } from "../../home/log/disk-log.ts";
import { ID_BYTES, SECTOR_BYTES } from "../../home/log/format.ts";
import { takeUp } from "../../home/log/take-up.ts";
import { createShmHome, ledgerBytes, takeUpShmHome } from "../../home/shm/shm-home.ts";
import type { Clock, Log } from "../../shadow/ports.ts";
import type { Life } from "../life.ts";
import { type MemoryCopy, PoisonedMemory } from "../memory.ts";
import type { Profile } from "../profile.ts";
import { type Dwelling, MortalCells } from "../sim-home.ts";
import { type Sector, Sectors } from "./sectors.ts";
import type { HomeKind } from "./setting.ts";
import { SmallDisk } from "./small-disk.ts";
import type { Rests } from "./small-store.ts";

export const SILENT: Log = { info() {}, warn() {}, error() {} };

/** A home for one front. */
export interface SmallHome {
  /** Once. */
  open(clock: Clock, life: Life): Dwelling;
  /** What a death would leave now: later changes are not seen in it. */
  left(death: "front" | "power"): Remnant;
}

/** What a death leaves of a home: one of several rests. */
export interface Remnant {
  /** Where it is the same, the rests are. */
  readonly key: string;
  rest(choose: (of: number) => number): HomeRest;
  /** Nothing that was not durable is left. */
  readonly worst: HomeRest;
}

export interface HomeRest {
  /** All that a front can find in it. */
  readonly key: string;
  home(): SmallHome;
}

/** One in which there is nothing yet. `sectors`: those of all homes whose keys are to be compared. */
export function newHome(kind: HomeKind, profile: Profile, sectors: Sectors): SmallHome {
  switch (kind) {
    case "memory":
      return new MemoryHome(profile);
    case "shm":
      return new ShmHome(profile);
    case "disk": {
      const sector = [sectors.zeroes];
      const rests = Array.from({ length: profile.home.logBytes / SECTOR_BYTES }, () => sector);
      return new DiskHome(profile, rests, sectors);
    }
  }
}

class MemoryHome implements SmallHome {
  readonly #profile: Profile;

  constructor(profile: Profile) {
    this.#profile = profile;
  }

  open(): Dwelling {
    return { writes: new PoisonedMemory(0, this.#profile.writeBytes), home: undefined, remains: undefined };
  }

  left(): Remnant {
    return only({ key: "nothing", home: () => new MemoryHome(this.#profile) });
  }
}

/** What a dead front has left in shared memory. */
interface SharedMemory {
  readonly ledger: ArrayBuffer;
  readonly writes: MemoryCopy;
}

/** The real ledger, and the memory of writes that it goes with. */
class ShmHome implements SmallHome {
  readonly #profile: Profile;
  readonly #isNew: boolean;
  readonly #ledger: ArrayBuffer;
  readonly #writes: PoisonedMemory;

  constructor(profile: Profile, from?: SharedMemory) {
    this.#profile = profile;
    this.#isNew = from === undefined;
    this.#ledger = from?.ledger.slice() ?? new ArrayBuffer(ledgerBytes(profile.limits.pieces));
    this.#writes = new PoisonedMemory(0, profile.writeBytes, from?.writes);
  }

  open(_clock: Clock, life: Life): Dwelling {
    const writes = this.#writes;
    const { pieces } = this.#profile.limits;
    const cells = new MortalCells(this.#ledger, life);
    if (this.#isNew) return { writes, home: createShmHome(cells, writes, pieces), remains: undefined };
    return { writes, ...takeUpShmHome(cells, writes, pieces) };
  }

  left(death: "front" | "power"): Remnant {
    const profile = this.#profile;
    if (death === "power") return only({ key: "nothing", home: () => new ShmHome(profile) });
    const ledger = this.#ledger.slice();
    const writes = this.#writes.copy();
    const slots = writes.flatMap(({ address, bytes }) => [Buffer.from(`${address}+${bytes.length}:`), bytes]);
    const key = hash("sha256", Buffer.concat([new Uint8Array(ledger), ...slots]));
    return only({ key, home: () => new ShmHome(profile, { ledger, writes }) });
  }
}

/** The real log, on a small disk. The memory of writes dies with the front. */
class DiskHome implements SmallHome {
  readonly #profile: Profile;
  readonly #sectors: Sectors;
  readonly #disk: SmallDisk;

  constructor(profile: Profile, rests: Rests<Sector>, sectors: Sectors) {
    this.#profile = profile;
    this.#sectors = sectors;
    this.#disk = new SmallDisk(rests, sectors);
  }

  open(clock: Clock, life: Life): Dwelling {
    const { writeBytes, limits, home } = this.#profile;
    const writes = new PoisonedMemory(0, writeBytes);
    const file = this.#disk.file(clock, life);
    const taken = takeUp("log", file, writes);
    const newId = new Uint8Array(ID_BYTES);
    const log = new DiskLog(
      { path: "log", file, memory: writes, clock: life.clock, log: SILENT, pid: 1, newId, newBytes: file.size },
      taken,
      { pieces: limits.pieces, requestBytes: home.requestBytes },
    );
    return { writes, home: log, remains: taken.remains };
  }

  left(death: "front" | "power"): Remnant {
    const { cache, inFlight } = this.#disk.left();
    return death === "power" ? this.#withoutPower(cache, inFlight) : this.#withoutFront(cache, inFlight);
  }

  /** Of each sector any version since the last sync, what is in flight among them. */
  #withoutPower(cache: Rests<Sector>, inFlight: ReadonlyMap<number, Sector>): Remnant {
    const rests = withCome(cache, inFlight, () => true);
    const durable = rests.map((versions) => versions.slice(0, 1));
    const open = [...rests.entries()].filter(([, versions]) => versions.length > 1);
    return {
      key: `power ${keyOf(rests)}`,
      rest: (choose) => {
        const left = [...durable];
        for (const [at, versions] of open) left[at] = [versions[choose(versions.length)] as Sector];
        return this.#rest(left);
      },
      worst: this.#rest(durable),
    };
  }

  /** All that was written, and any sectors of what is in flight. */
  #withoutFront(cache: Rests<Sector>, inFlight: ReadonlyMap<number, Sector>): Remnant {
    const coming = [...inFlight].map(([at, { number }]) => `${at}:${number};`).join("");
    return {
      key: `front ${keyOf(cache)}, ${coming}`,
      rest: (choose) => this.#rest(withCome(cache, inFlight, () => choose(2) === 1)),
      worst: this.#rest(cache),
    };
  }

  /** What comes later is of no interest to others. */
  #rest(rests: Rests<Sector>): HomeRest {
    const key = (): string => keyOf(rests);
    return {
      get key() {
        return key();
      },
      home: () => new DiskHome(this.#profile, rests, new Sectors(this.#sectors)),
    };
  }
}

function only(rest: HomeRest): Remnant {
  return { key: rest.key, rest: () => rest, worst: rest };
}

function withCome(
  cache: Rests<Sector>,
  inFlight: ReadonlyMap<number, Sector>,
  comes: (at: number) => boolean,
): Rests<Sector> {
  const rests = [...cache];
  for (const [at, sector] of inFlight) if (comes(at)) rests[at] = [...(cache[at] as readonly Sector[]), sector];
  return rests;
}

/** "3:1,7;4:2;": sector 3 may hold the contents 1 and 7, sector 4 holds 2, all others hold zeroes. */
function keyOf(rests: Rests<Sector>): string {
  let key = "";
  rests.forEach((versions, at) => {
    if (versions.length === 1 && versions[0]?.number === 0) return;
    key += `${at}:${versions.map(({ number }) => number).join()};`;
  });
  return key;
}
