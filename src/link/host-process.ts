import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import type { FaultKind } from "../block/fault.ts";
import { oomKills, readStat } from "../os/process-stat.ts";
import { type DyingCause, type HostMessage, MAX_CONTROL_LINE_BYTES, parseHostMessage } from "./control.ts";
import { mayHaveAborted, nameEnding } from "./ending.ts";
import { HostChannel } from "./host-channel.ts";
import type { HostOwner, SpareKeeper } from "./host-owner.ts";
import type { Rings } from "./host-parts.ts";
import { type HostOrder, spawnHost } from "./host-spawn.ts";
import { MemoryHolder } from "./memory-holder.ts";
import { driverName } from "./opening.ts";
import { whenClosed } from "./output.ts";
import { killFamily } from "./process-family.ts";
import { killGroup } from "./process-group.ts";
import { ProcessLink } from "./process-link.ts";
import { FrontPulse, monotonicMs } from "./pulse.ts";
import { FrontRing } from "./ring.ts";

/** How long a stream of output that somebody else still holds open is read after its host is gone. */
const OUTPUT_GRACE_MS = 1000;
/**
 * How long the kernel is spared the taking apart of a dead host's memory: it takes a core for some tens of milliseconds, which the next
 * incarnation wants now.
 */
const MEMORY_DELAY_MS = 100;
/** How long the last that an aborted host printed is waited for. */
const ABORT_OUTPUT_MS = 200;

interface Incarnation {
  readonly epoch: number;
  readonly owner: HostOwner;
}

type State =
  | { readonly name: "loading" | "ready"; readonly keeper: SpareKeeper | undefined }
  | { readonly name: "opening"; readonly incarnation: Incarnation; readonly loaded: boolean }
  | { readonly name: "open"; readonly incarnation: Incarnation; readonly link: ProcessLink }
  | { readonly name: "given up"; readonly end: (kind: FaultKind, how: string) => void }
  | { readonly name: "gone" };

/**
 * One driver host, from its start until it is reaped. A spare waits between loading and opening; a host that is wanted
 * at once is told to open while it loads.
 *
 *            ready           open            opened
 *   loading ───────▶ ready ────────▶ opening ───────▶ open
 *     │ │              │              ▲ │              │
 *     │ └──────────────│──── open ────┘ │ it fails, is stale, breaks a rule
 *     │ it fails,      │                │              │
 *     │ kill           │ kill           │ kill         │ kill
 *     └────────────────┴──▶ given up ◀──┴──────────────┘
 *
 *   any of them ── the process is reaped, and nothing is left of its group ──▶ gone
 */
export class HostProcess {
  readonly order: HostOrder;
  /** Resolves when nothing is left of it. */
  readonly ended: Promise<void>;
  readonly #end = Promise.withResolvers<void>();
  readonly #hurried = Promise.withResolvers<void>();
  readonly #child: ChildProcess;
  readonly #rings: Rings;
  readonly #channel: HostChannel;
  readonly #pulse: FrontPulse;
  readonly #oomKills = oomKills();
  /** Clock ticks since the machine was started. */
  readonly #startedAt: number | undefined;
  #state: State;
  /** Resolves when the kernel has taken its memory apart. */
  #memory: Promise<void> = Promise.resolve();
  /** Of its memory; `undefined` until it has named one, or none. */
  #holder: { readonly pid: number | undefined } | undefined;
  #lastWords: { readonly cause: DyingCause; readonly message: string } | undefined;

  /** Throws like {@link spawnHost}. `keeper`: whose spare it is; `undefined` if it is to be opened at once. */
  constructor(order: HostOrder, keeper: SpareKeeper | undefined) {
    this.order = order;
    this.ended = this.#end.promise;
    this.#state = { name: "loading", keeper };
    const { child, rings, controlFd, doorbellFd } = spawnHost(order, keeper !== undefined);
    this.#child = child;
    this.#startedAt = child.pid === undefined ? undefined : readStat(child.pid)?.startTicks;
    this.#rings = rings;
    this.#pulse = new FrontPulse(rings.front.buffer, rings.host.buffer, monotonicMs);
    this.#channel = new HostChannel(controlFd, doorbellFd, {
      line: (line) => this.#hear(line),
      rung: (times) => this.#link?.rung(times),
    });
    // Where it could not be started for want of descriptors, there are none.
    for (const stream of [child.stdout, child.stderr]) if (stream) order.output.read(stream);
    child.once("close", () => order.output.end());
    child.once("error", (error) => this.#notStarted(error));
    child.once("exit", (code, signal) => this.#reaped(code, signal));
  }

  /** Undefined once it is gone: the number may be another process's by then. */
  get pid(): number | undefined {
    return this.#state.name === "gone" ? undefined : this.#child.pid;
  }

  /** Undefined while it is not open. */
  get pulse(): FrontPulse | undefined {
    return this.#state.name === "open" ? this.#pulse : undefined;
  }

  /** Whether it can be opened: a spare may have failed, or died, and its keeper not have heard of it yet. */
  get isWaiting(): boolean {
    const { name } = this.#state;
    return (name === "loading" || name === "ready") && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Makes an incarnation of a host that is waiting. */
  open(epoch: number, owner: HostOwner): void {
    const state = this.#state;
    assert(state.name === "loading" || state.name === "ready", "a host is opened once");
    this.#state = { name: "opening", incarnation: { epoch, owner }, loaded: state.name === "ready" };
    this.#channel.send({ type: "open", epoch, spare: state.keeper !== undefined });
  }

  close(): void {
    this.#channel.send({ type: "close" });
  }

  kill(): void {
    this.#giveUp();
    const pid = this.#child.pid;
    if (pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) killGroup(pid);
  }

  /** No other one is started after it: its memory may go at once. */
  hurry(): void {
    this.#hurried.resolve();
  }

  /** Has its event loop answer, if it turns: see `pulse`. */
  ping(): void {
    const { pulse } = this;
    if (pulse === undefined) return;
    pulse.ping();
    this.#channel.wake();
  }

  get #link(): ProcessLink | undefined {
    return this.#state.name === "open" ? this.#state.link : undefined;
  }

  /** From here on no more than its end is told. `why`: of a spare, instead of how it ended. */
  #giveUp(why?: string): void {
    const state = this.#state;
    switch (state.name) {
      case "loading":
      case "ready":
        this.#state = { name: "given up", end: (_, how) => state.keeper?.gone(why ?? this.#noSpare(how)) };
        return;
      case "opening":
      case "open": {
        this.#link?.end();
        const { epoch, owner } = state.incarnation;
        this.#state = { name: "given up", end: (kind, how) => owner.exited(epoch, kind, how) };
        return;
      }
      case "given up":
      case "gone":
        return;
    }
  }

  #hear(line: string | undefined): void {
    const state = this.#state;
    if (state.name === "given up" || state.name === "gone") return;
    if (line === undefined) return this.#fault(`a control message is longer than ${MAX_CONTROL_LINE_BYTES} bytes`);
    const message = parseHostMessage(line);
    switch (message?.type) {
      case undefined:
        return this.#fault("a control message makes no sense");
      case "dying":
        this.#lastWords = message;
        return;
      case "holder":
        if (this.#holder !== undefined) break;
        this.#holder = message;
        return;
      case "ready":
        if (state.name === "loading") {
          this.#state = { ...state, name: "ready" };
          return state.keeper?.ready();
        }
        if (state.name !== "opening" || state.loaded) break;
        this.#state = { ...state, loaded: true };
        return;
      case "openFailed":
        if (state.name === "ready" || state.name === "open") break;
        this.#giveUp(message.message);
        if (state.name === "opening") state.incarnation.owner.openFailed(state.incarnation.epoch, message.message);
        return;
      case "stale":
        if (state.name !== "opening" || !state.loaded) break;
        this.#state = { name: "given up", end: () => {} };
        return state.incarnation.owner.stale(state.incarnation.epoch);
      case "opened":
        if (state.name !== "opening" || !state.loaded) break;
        return this.#opened(state.incarnation, message);
    }
    this.#fault(`a control message "${message.type}" came twice, or at the wrong time`);
  }

  #opened(incarnation: Incarnation, message: HostMessage & { type: "opened" }): void {
    const { epoch, owner } = incarnation;
    try {
      owner.take(this.#child.pid as number, message);
    } catch (error) {
      this.#fault(`the memory that it made could not be taken over: ${(error as Error).message}`);
      return;
    }
    // Where it made nothing, it waits for nothing.
    if (message.kept.length > 0 || message.code !== undefined) this.#channel.send({ type: "taken" });
    const ring = new FrontRing(this.#rings.front.buffer, this.#rings.host.buffer, this.order.depth);
    const link = new ProcessLink(epoch, ring, () => this.#channel.wake(), owner.events);
    this.#state = { name: "open", incarnation, link };
    owner.events.opened(epoch, message.info, link);
  }

  #fault(what: string): void {
    const state = this.#state;
    switch (state.name) {
      case "loading":
      case "ready":
        this.#giveUp(this.#noSpare(what));
        return this.kill();
      case "opening":
      case "open":
        this.#giveUp();
        return state.incarnation.owner.events.fault(state.incarnation.epoch, "control-message", what);
      case "given up":
      case "gone":
        return;
    }
  }

  #noSpare(what: string): string {
    return `Cannot load driver ${driverName(this.order.driver)}: ${what}, a host that waits was wanted`;
  }

  #notStarted(error: Error): void {
    if (this.#child.pid !== undefined) return;
    const state = this.#state;
    const what = `Cannot start driver ${driverName(this.order.driver)}: ${error.message}, a process was wanted`;
    this.#giveUp(what);
    if (state.name === "opening") state.incarnation.owner.openFailed(state.incarnation.epoch, what);
    this.#gone("open-failed", "not started");
  }

  #reaped(code: number | null, signal: NodeJS.Signals | null): void {
    const leader = this.#child.pid as number;
    // What it said and completed before its end is still to be heard.
    this.#channel.hearRest();
    this.#link?.drain();
    this.#link?.end();
    const holder = this.#holderOf(leader);
    const requests = this.#releaseMemory(holder);
    // A process that the driver started may outlive it, and still write to the store.
    const end = async (): Promise<void> => {
      await killFamily(leader, this.order.mark, { since: this.#startedAt, except: holder?.pid });
      await requests;
      this.#nameEnding(code, signal);
    };
    // The last that it printed tells why.
    if (mayHaveAborted({ code, signal })) whenClosed(this.#child.stderr, ABORT_OUTPUT_MS, end);
    else end();
  }

  #holderOf(leader: number): MemoryHolder | undefined {
    const named = this.#holder;
    if (named === undefined) return MemoryHolder.found(leader);
    return named.pid === undefined ? undefined : MemoryHolder.named(named.pid, leader);
  }

  /** Returns what has to be waited for, where the next incarnation may not open before. */
  #releaseMemory(holder: MemoryHolder | undefined): Promise<void> | undefined {
    if (holder === undefined) return undefined;
    const { isInTheWay } = holder;
    const spared = isInTheWay ? undefined : delay(MEMORY_DELAY_MS, undefined, { ref: false });
    this.#memory = Promise.race([spared, this.#hurried.promise]).then(() => holder.release());
    return isInTheWay ? this.#memory : undefined;
  }

  #nameEnding(code: number | null, signal: NodeJS.Signals | null): void {
    const { saidHeapFull } = this.order.output;
    // Asked only where it matters: the kernel takes its time to count.
    const oomKilled = signal === "SIGKILL" && this.#state.name !== "given up" && oomKills() > this.#oomKills;
    const { kind, how } = nameEnding({ code, signal, lastWords: this.#lastWords, saidHeapFull, oomKilled });
    this.#gone(kind, how);
  }

  #gone(kind: FaultKind, how: string): void {
    this.#giveUp();
    const { end } = this.#state as State & { name: "given up" };
    this.#state = { name: "gone" };
    this.#channel.close();
    this.#rings.front.unmap();
    this.#rings.host.unmap();
    const { stdout, stderr } = this.#child;
    setTimeout(() => {
      stdout?.destroy();
      stderr?.destroy();
    }, OUTPUT_GRACE_MS).unref();
    end(kind, how);
    this.#memory.then(() => this.#end.resolve());
  }
}
