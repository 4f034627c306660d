import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import type { LogRun } from "../home/log/take-up.ts";
import { newMark, processWorld } from "../link/process-mark.ts";
import { isGone, isRunning, type ProcessId, processId } from "../os/process-id.ts";
import { fence } from "./fence.ts";
import { describeHome, type HomeSpec } from "./home-spec.ts";
import { lockFolder } from "./runtime-folder.ts";
import type { DeviceSpec } from "./spec.ts";
import { describeStore, identityName, isPrivate, isSamePlace, opensReadOnly, storeNames } from "./store-key.ts";
import { type LockRecord, recordedHome, StoreLock } from "./store-lock.ts";

/** How long a front that is dying may take to give a store up. */
const DYING_FRONT_MS = 10_000;
/** How long one that has just locked a store may take to say who it is. */
const UNNAMED_FRONT_MS = 1000;
const POLL_MS = 20;
/** From then on, it is said what is waited for. */
const PATIENCE_MS = 1000;

/** Of a device's configuration, what says who may serve its stores. */
export interface ClaimConfig {
  readonly name: string;
  readonly spec: DeviceSpec;
  readonly fallback?: DeviceSpec;
  readonly readOnly?: boolean;
  /** Each front has a store of its own, or its driver sees to it that no two get the same one: nothing is locked. */
  readonly shared?: boolean;
  readonly home?: HomeSpec;
}

export interface ClaimOrder {
  readonly config: ClaimConfig;
  /** How long what an earlier front has left may take to end. */
  readonly reapTimeoutMs: number;
  /** Takes a line for the log. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A lock, and what its file tells while what an earlier front has left may still run. */
interface Held {
  lock: StoreLock;
  before: LockRecord | undefined;
  /** Where an earlier front has left what it had acknowledged. */
  readonly left: string | undefined;
  /** What doesn't count there, as its file tells. */
  spentLog: LogRun | undefined;
}

/**
 * A device's right to its stores: no two devices on this machine, of one front or of two of the same user, serve one store, unless all
 * of them only read. It is locked by what it is called, before any driver is started, and by what its driver says that it is, before
 * anything is replayed or served. What served it before is gone by then.
 */
export class StoreClaim {
  readonly #order: ClaimOrder;
  readonly #since = new Date().toISOString();
  readonly #self = processId(process.pid) as ProcessId;
  /** By the names of their stores. */
  readonly #held = new Map<string, Held>();
  /** Names of stores that nobody else has. */
  readonly #own: readonly string[];
  /** What outlives the machine may be in its home. */
  #keepsShadow = false;
  /** What this front has to say of the log of its home, once it has something to say. */
  #marked: { readonly spentLog: LogRun | undefined } | undefined;
  /** The log that it goes on with, where pieces were in it: the oldest run of these. */
  #takenUp: LogRun | undefined;
  #newest: { readonly epoch: number; readonly driver: ProcessId | undefined } = { epoch: 0, driver: undefined };

  private constructor(order: ClaimOrder) {
    this.#order = order;
    this.#own = driversOf(order.config)
      .filter((driver) => !this.#locks(driver))
      .flatMap(namesOf);
  }

  /**
   * Locks the stores of a device, and ends what a dead front has left on them. A front that is dying is waited for. Rejects with
   * `store-served`, `other-home`, `not-fenced` or `bad-folder`, or when it is aborted, and then nothing is locked.
   */
  static async take(order: ClaimOrder): Promise<StoreClaim> {
    const claim = new StoreClaim(order);
    await claim.#add("serve", driversOf(order.config));
    return claim;
  }

  /** A mark for a process that is made before the stores are locked, and has nothing to do with them until then. */
  static earlyMark(config: ClaimConfig): string {
    return newMark(driversOf(config).flatMap(namesOf));
  }

  /** Of the incarnations that its stores have seen: the next one's has to be greater. */
  get lastEpoch(): number {
    return this.#newest.epoch;
  }

  /** The lock files that say of its own home that an earlier front has left something there that counts; undefined if none does. */
  get leftBehind(): string | undefined {
    const left = [...this.#held]
      .filter(([, { left, spentLog }]) => left !== undefined && spentLog === undefined)
      .map(([name]) => this.#pathOf(name));
    return left.length === 0 ? undefined : left.join(" and ");
  }

  /** What doesn't count any more of logs, as earlier fronts have said: one lock may tell of an earlier one than another. */
  get spentLogs(): readonly LogRun[] {
    return [...this.#held.values()].flatMap(({ spentLog }) => spentLog ?? []);
  }

  /** Pieces in a log are going to be replayed. */
  takesUp(oldest: LogRun | undefined): void {
    this.#takenUp = oldest;
  }

  /** From now on its home, if that outlives the machine, may hold what the store doesn't have: nobody may serve without it. */
  shadowKept(): void {
    if (this.#keepsShadow) return;
    this.#keepsShadow = true;
    for (const held of this.#held.values()) this.#write(held);
  }

  /** What the next front has to know of the log of its home. */
  markLog(spentLog: LogRun | undefined): void {
    this.#marked = { spentLog };
    for (const held of this.#held.values()) {
      held.spentLog = spentLog;
      this.#write(held);
    }
  }

  /** A mark for the processes of an incarnation. */
  newMark(): string {
    return newMark([...this.#held.keys(), ...this.#own]);
  }

  /** An incarnation was started. `pid`: its process, if it has one. */
  started(epoch: number, pid: number | undefined): void {
    this.#newest = { epoch, driver: pid === undefined ? undefined : processId(pid) };
    for (const [name, held] of this.#held) {
      this.#keepInPlace(name, held);
      this.#write(held);
    }
  }

  /** A driver says which store it has opened. Returns why it may not be served, one line, if so. */
  identify(driver: DeviceSpec, identity: string | undefined): string | undefined {
    if (identity === undefined || !this.#locks(driver)) return undefined;
    const name = identityName(identity);
    if (this.#held.has(name)) return undefined;
    try {
      const taken = StoreLock.take(this.#pathOf(name), this.#sharesOf(driver));
      if (!(taken instanceof StoreLock)) return this.#served("serve", driver, taken.holder);
      // Under another name, a front that died has served it.
      const held = this.#hold(name, taken);
      if (this.#isElsewhere(held)) {
        const refusal = this.#otherHome("serve", [name]);
        this.#giveBack([name]);
        return refusal;
      }
      const left = survivorOf(held.before);
      if (left !== undefined) {
        this.#giveBack([name]);
        const { name: device } = this.#order.config;
        return `Cannot serve ${device}: process ${left.pid} of an earlier front's driver still has its store, its end was wanted`;
      }
      const spent = held.before?.spentLog;
      if (spent !== undefined && spent.id === this.#takenUp?.id && this.#takenUp.run <= spent.run) {
        this.#giveBack([name]);
        const { name: device } = this.#order.config;
        return `Cannot serve ${device}: its log was spent when the store had another name, one without older data was wanted: remove it`;
      }
      held.before = undefined;
      this.#write(held);
      return undefined;
    } catch (error) {
      return `Cannot serve ${this.#order.config.name}: its store can't be locked: ${(error as Error).message}`;
    }
  }

  /**
   * Locks the store of another driver as well, which is to take over. Rejects like `take`, and then nothing has changed. Returns how to
   * give it back, where nothing came of it.
   */
  add(driver: DeviceSpec): Promise<() => void> {
    return this.#add("upgrade", [driver]);
  }

  /** Nothing came of it. What an earlier front has left in its home is still there. */
  abandon(): void {
    this.#giveBack([...this.#held.keys()]);
  }

  /**
   * `clean`: no process of its incarnations is left, and the store has everything. Else its stores stay locked as long as this process
   * lives, and the files tell of it.
   */
  release(clean: boolean): void {
    if (!clean) return;
    for (const { lock } of this.#held.values()) lock.release(true);
    this.#held.clear();
  }

  async #add(act: string, drivers: readonly DeviceSpec[]): Promise<() => void> {
    const { config, reapTimeoutMs: timeoutMs, say, signal } = this.#order;
    const added: string[] = [];
    try {
      for (const driver of drivers.filter((driver) => this.#locks(driver))) {
        for (const nameOf of storeNames(driver)) {
          const name = nameOf();
          if (name === undefined || this.#held.has(name)) continue;
          const held = this.#hold(name, await this.#lock(act, driver, name));
          added.push(name);
          this.#write(held);
        }
      }
      const elsewhere = added.filter((name) => this.#isElsewhere(this.#held.get(name)));
      if (elsewhere.length > 0) throw new SkinkError("other-home", this.#otherHome(act, elsewhere));
      const held = [...this.#held.values()];
      const left = held.map(({ before }) => driverOf(before)).filter((driver) => driver !== undefined);
      const stores = [...added, ...drivers.flatMap(namesOf)];
      await fence({ device: config.name, stores, drivers: left, timeoutMs, say, signal });
      for (const one of held) one.before = undefined;
      return () => this.#giveBack(added);
    } catch (error) {
      this.#giveBack(added);
      throw error;
    }
  }

  /** What an earlier front has left in the files is still true, as long as nobody has seen to it. */
  #giveBack(names: readonly string[]): void {
    for (const name of names) {
      const held = this.#held.get(name);
      this.#held.delete(name);
      held?.lock.release(held.before === undefined && held.left === undefined);
    }
  }

  async #lock(act: string, driver: DeviceSpec, name: string): Promise<StoreLock> {
    const { config, say, signal } = this.#order;
    const path = this.#pathOf(name);
    const since = performance.now();
    let hasSpoken = false;
    for (let looks = 1; ; looks++) {
      const taken = this.#tryLock(path, driver);
      if (taken instanceof StoreLock) return taken;
      const { holder } = taken;
      const state = stateOf(holder);
      const waitedMs = performance.now() - since;
      // Who is just giving it back has done so at the next look.
      const isServed = state === "running" && looks > 1;
      if (isServed || waitedMs > (state === "dying" ? DYING_FRONT_MS : UNNAMED_FRONT_MS)) {
        throw new SkinkError("store-served", this.#served(act, driver, holder));
      }
      if (waitedMs > PATIENCE_MS && !hasSpoken) {
        say(
          `waits for the end of the front with pid ${holder?.pid}, which still has the store (${describeStore(config.spec)})`,
        );
        hasSpoken = true;
      }
      await delay(POLL_MS, undefined, { signal });
    }
  }

  #tryLock(path: string, driver: DeviceSpec): StoreLock | { readonly holder: LockRecord | undefined } {
    try {
      return StoreLock.take(path, this.#sharesOf(driver));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const what = `${code} at its lock ${path}, a file that can be written was wanted`;
      throw new SkinkError("bad-folder", `Cannot serve ${this.#order.config.name}: ${what}`, { cause: error });
    }
  }

  #served(act: string, driver: DeviceSpec, holder: LockRecord | undefined): string {
    const { name } = this.#order.config;
    const store = `its store (${describeStore(driver)})`;
    const mend = "stop that one first, or say shared where each has a store of its own";
    return `Cannot ${act} ${name}: ${store} is served by ${this.#describe(holder)}, it alone was wanted: ${mend}`;
  }

  #describe(holder: LockRecord | undefined): string {
    const state = stateOf(holder);
    if (holder === undefined || state === "gone") return "a front that its lock does not name";
    const since = `since ${new Date(holder.since).toTimeString().slice(0, 8)}`;
    const epoch = `epoch ${holder.epoch}`;
    const device = `device ${JSON.stringify(holder.device)}`;
    if (holder.pid === this.#self.pid && holder.started === this.#self.started) {
      return `${device} of this front (${epoch}, ${since})`;
    }
    const front = `the front with pid ${holder.pid}${holder.host === hostname() ? "" : ` on ${holder.host}`}`;
    return `${device} of ${front} (${epoch}, ${since}${state === "dying" ? ", which is dying and does not end" : ""})`;
  }

  #hold(name: string, lock: StoreLock): Held {
    const { before } = lock;
    // One that is alive and shares the lock sees to its own.
    const isOver = !(lock.isShared && stateOf(before) === "running");
    const told = isOver ? before : undefined;
    const { spentLog } = this.#marked ?? told ?? { spentLog: undefined };
    const held = { lock, before: told, left: told?.home, spentLog };
    this.#held.set(name, held);
    const epoch = Math.max(this.#newest.epoch, before?.epoch ?? 0);
    this.#newest = { ...this.#newest, epoch };
    return held;
  }

  /** Until what an earlier front has left is gone, the file tells of that. */
  #write({ lock, before, left, spentLog }: Held): void {
    const { name: device, spec } = this.#order.config;
    const home = left ?? (this.#keepsShadow ? this.#home : undefined);
    const { epoch } = this.#newest;
    const { driver, world } = before ?? { ...this.#newest, world: processWorld() };
    const { pid, started } = this.#self;
    const store = describeStore(spec);
    lock.write({
      store,
      pid,
      started,
      device,
      epoch,
      since: this.#since,
      host: hostname(),
      driver,
      world,
      home,
      spentLog,
    });
  }

  /** The home, if it outlives the machine. */
  get #home(): string | undefined {
    const { home } = this.#order.config;
    return home?.kind === "disk" ? describeHome(home) : undefined;
  }

  /** Whether an earlier front has left something in a home that isn't this one's. */
  #isElsewhere(held: Held | undefined): boolean {
    if (held?.left === undefined) return false;
    return this.#home === undefined || !isSameHome(held.left, recordedHome(this.#home));
  }

  #otherHome(act: string, names: readonly string[]): string {
    const files = names.map((name) => this.#pathOf(name)).join(" and ");
    const what = `an earlier front that died has kept its shadow in ${this.#held.get(names[0] as string)?.left}`;
    const mend = `serve with it, or remove ${files} to give it up`;
    return `Cannot ${act} ${this.#order.config.name}: ${what}, which may hold what it acknowledged, that home was wanted: ${mend}`;
  }

  /** A file that was removed meanwhile locks nothing. */
  #keepInPlace(name: string, held: Held): void {
    if (held.lock.isInPlace) return;
    try {
      const path = this.#pathOf(name);
      const taken = StoreLock.take(path, held.lock.isShared);
      if (!(taken instanceof StoreLock)) {
        this.#order.say(
          `its lock ${path} was removed, and by now its store is served by ${this.#describe(taken.holder)} as well`,
        );
        return;
      }
      held.lock.release(false);
      held.lock = taken;
      this.#order.say(`its lock ${path} was removed meanwhile, and is made anew`);
    } catch (error) {
      this.#order.say(`its lock was removed meanwhile, and can't be made anew: ${(error as Error).message}`);
    }
  }

  #locks(driver: DeviceSpec): boolean {
    return this.#order.config.shared !== true && !isPrivate(driver);
  }

  #sharesOf(driver: DeviceSpec): boolean {
    return this.#order.config.readOnly === true || opensReadOnly(driver);
  }

  #pathOf(name: string): string {
    return join(lockFolder(), `${name}.lock`);
  }
}

function driversOf({ spec, fallback }: ClaimConfig): DeviceSpec[] {
  return fallback === undefined ? [spec] : [spec, fallback];
}

function namesOf(driver: DeviceSpec): string[] {
  return storeNames(driver)
    .map((nameOf) => nameOf())
    .filter((name) => name !== undefined);
}

/** What has become of a front. Of another machine's, nothing is known. */
function stateOf(front: LockRecord | undefined): "running" | "dying" | "gone" {
  if (front === undefined) return "gone";
  if (front.host !== hostname() || isRunning(front)) return "running";
  return isGone(front) ? "gone" : "dying";
}

function isSameHome(one: string, other: string): boolean {
  const [first = "", second = ""] = [one, other].map((home) => home.replace(/^disk:/, ""));
  return isSamePlace(first, second);
}

/** The driver of a front that is dead. Of another world's, nothing can be known. */
function driverOf(before: LockRecord | undefined): ProcessId | undefined {
  return before?.world === processWorld() ? before.driver : undefined;
}

/** The same, where it isn't dead. */
function survivorOf(before: LockRecord | undefined): ProcessId | undefined {
  const driver = driverOf(before);
  return driver === undefined || isGone(driver) ? undefined : driver;
}
