import { ERRNO, errnoName } from "../block/errors.ts";
import { blameOf, type FaultKind, meaningOf, newFaultCounts } from "../block/fault.ts";
import type { Convict, Device } from "../shadow/device.ts";
import type {
  Clock,
  DriverInfo,
  DriverRef,
  IncarnationEvents,
  Incarnations,
  Link,
  Log,
  Random,
  Timer,
} from "../shadow/ports.ts";
import type { LieCure } from "../shadow/verifier.ts";
import { CurePlan, type UnplannedEnd } from "./cure.ts";
import type { DeviceEvent } from "./event.ts";
import { Judge, type Verdict } from "./judge.ts";
import { afterRunning } from "./patient-timer.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import { type Recovery, RecoveryLog } from "./recovery.ts";
import { type Drivers, Succession } from "./succession.ts";
import type { Upgrade, UpgradeObserver } from "./upgrade.ts";

export type DeviceState = "starting" | "live" | "recovering" | "degraded" | "held" | "failed" | "stopping";

export interface SupervisorPorts {
  readonly device: Device;
  readonly incarnations: Incarnations;
  readonly drivers: Drivers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly observer: SupervisorObserver;
}

export interface SupervisorObserver {
  /** An incarnation is live; with the first one, clients may come. */
  live(): void;
  /** The store is another one; it takes a restart by the operator to try again. */
  failed(reason: string): void;
  /** The first incarnation did not open: there is nothing to serve, and nothing is left running. */
  startFailed(reason: string): void;
  /** The end of `stop`. What the shadow still holds then was acknowledged and isn't durable. */
  stopped(outcome: StopOutcome): void;
  /** Something happened, or was decided. */
  event(event: DeviceEvent): void;
}

export interface StopOutcome {
  /** Everything acknowledged is durable, and the driver has closed its store. */
  readonly clean: boolean;
  /** One line on what wasn't clean. */
  readonly reason: string | undefined;
}

/**
 * The life of a device. Every incarnation is reaped before the next one starts (P4).
 *
 *               ┌──────────────── delay ◀─────────────┐
 *               ▼                                     │ exited
 *   start ─▶ opening ──opened──▶ replaying ──▶ live   │
 *               │ failed, late,      │ fault    │ fault, kill
 *               │ another store      ▼          ▼     │
 *               └──────────────▶ reaping ─────────────┤
 *                                    ▲ late           ├─▶ failed   (another store; until restart)
 *   live ─restart, stop─▶ closing ───┴────────────────┴─▶ stopped
 *                                         exited
 */
type Phase =
  | { readonly name: "idle" | "stopped" }
  | { readonly name: "opening" | "replaying" | "live" | "closing" | "reaping"; readonly epoch: number }
  | { readonly name: "delay" }
  | { readonly name: "failed"; readonly reason: string };

const LIE_CURES: Record<LieCure, string> = {
  "read again": "it is read again",
  restart: "the driver is restarted, and it is read again",
  repair: "the shadow has the data, which is written again",
  error: "it gets EIO",
};

/** An event, less what is the same for all. */
type Untold = DeviceEvent extends infer Event
  ? Event extends DeviceEvent
    ? Omit<Event, "epoch" | "driver"> & { readonly epoch?: number }
    : never
  : never;

/** Decides what becomes of incarnations: starts, gives up, kills, waits for the reaping, restarts, holds, stops. */
export class Supervisor implements IncarnationEvents {
  readonly #ports: SupervisorPorts;
  readonly #policy: Policy;
  readonly #log = new RecoveryLog();
  readonly #cure: CurePlan;
  readonly #judge: Judge;
  /** How often each kind of fault was found. */
  readonly faults: Record<FaultKind, number>;
  readonly #succession: Succession;
  /** How the incarnation ended that was lost; `undefined` where its end was planned. */
  #end: (UnplannedEnd & { readonly reason: string }) | undefined;
  #liveAt: number | undefined;
  #phase: Phase = { name: "idle" };
  /** Bounds the phase: open timeout, reap timeout, restart delay, planned end. */
  #phaseTimer: Timer | undefined;
  #heldTimer: Timer | undefined;
  #stopTimer: Timer | undefined;
  #epoch: number;
  #restarts = 0;
  #held: string | undefined;
  /** It has been without a driver for too long: what waits and what comes gets EIO until it is live. */
  #refuses = false;
  /** The store is another one; set from noticing until `failed` is reached. */
  #mismatch: string | undefined;
  /** An incarnation has come with the device's store: from now on there is something to serve, whatever becomes of it. */
  #opened = false;
  /** Why the current incarnation could not open, said before it is reaped. */
  #openFailure: string | undefined;
  #stopping = false;
  #drained = false;
  #killedToStop = false;
  /** Restarts were in vain: nothing is written any more. */
  #readOnly = false;
  /** Everything that could be done before the end of a stop has been done. */
  #closeAsked = false;

  /** `firstEpoch`: greater than that of every incarnation before, of other fronts too. */
  constructor(ports: SupervisorPorts, policy: Partial<Policy> = {}, firstEpoch = 1) {
    this.#ports = ports;
    this.#policy = { ...DEFAULT_POLICY, ...policy };
    this.#epoch = firstEpoch - 1;
    const { drivers, random, clock, incarnations, device } = ports;
    this.faults = newFaultCounts();
    this.#succession = new Succession({
      drivers,
      device,
      clock,
      policy: this.#policy,
      changed: (change, reason) => this.#changed(change, reason),
    });
    this.#cure = new CurePlan(this.#policy, random, () => this.#succession.hasFallback);
    this.#judge = new Judge(
      {
        clock,
        incarnations,
        inFlight: () => device.inFlight,
        found: (epoch, verdict) => this.#judged(epoch, verdict),
      },
      this.#policy,
    );
    device.observe({
      suspected: (count) => {
        const reason = `${count} requests and pieces were with two incarnations that died: they are tried alone`;
        this.#tell({ type: "suspects", count, reason });
      },
      convicted: (convict) => this.#convicted(convict),
      erred: (operation, errno) => {
        if (this.#succession.upgrade?.stage === undefined) return false;
        this.#giveUp("errors", `it answered a ${operation} with ${errnoName(errno)}`);
        return true;
      },
      lied: ({ offset, length }, cure) => {
        const reason = `a read of ${length} bytes at ${offset} found other data than was written: ${LIE_CURES[cure]}`;
        this.#tell({ type: "lie", offset, length, cure, reason });
        this.#say("warn", reason);
        if (cure === "restart" || this.#succession.upgrade?.stage === "on probation") this.#giveUp("lie", reason);
        else this.faults.lie++;
      },
    });
  }

  get state(): DeviceState {
    if (this.#stopping || this.#phase.name === "stopped") return "stopping";
    if (this.#phase.name === "failed") return "failed";
    if (this.#held !== undefined) return "held";
    if (this.#phase.name === "live") return this.#ports.device.trouble === undefined ? "live" : "degraded";
    return this.#log.since === undefined ? "starting" : "recovering";
  }

  /** Why the state isn't `live`, for people. */
  get reason(): string | undefined {
    if (this.#phase.name === "failed") return this.#phase.reason;
    if (this.state === "recovering") return this.#openFailure ?? this.#log.reason;
    return this.#held ?? this.#ports.device.trouble;
  }

  /** The newest incarnation. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Who serves, or will next. */
  get driver(): DriverRef {
    return this.#succession.driver;
  }

  get upgrading(): boolean {
    return this.#succession.upgrade !== undefined;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get recoveries(): readonly Recovery[] {
    return this.#log.recoveries;
  }

  // ── What the operator wants ───────────────────────────────────────────────────────────────────────────────────

  start(): void {
    this.#startIncarnation();
  }

  /** Kills the incarnation, as if it had failed. False if there is none to kill. */
  kill(): boolean {
    const { name } = this.#phase;
    if (name !== "opening" && name !== "replaying" && name !== "live") return false;
    this.#giveUp("operator", "killed by the operator");
    return true;
  }

  /**
   * A planned restart: drain, flush, close, open. Ends the `failed` state, too, and puts the driver that was meant to serve in the
   * place of a fallback, or of a newcomer that is still on probation. False if it isn't the time for it.
   */
  restart(): boolean {
    if (this.#stopping) return false;
    const { name } = this.#phase;
    if (name !== "failed" && name !== "live" && name !== "delay") return false;
    this.#succession.reinstate();
    this.#cure.reset();
    if (name === "live") {
      this.#close("restarted by the operator");
    } else {
      this.#pardon();
      this.#startIncarnation();
    }
    return true;
  }

  /**
   * Hands the device over to another driver for the same store: it is made ready, the one that serves drains, flushes and closes,
   * the other one opens, and is on probation for a while. False if it isn't the time for it.
   */
  upgrade(to: DriverRef, observer: UpgradeObserver): boolean {
    if (this.#stopping || this.#phase.name !== "live" || this.upgrading) return false;
    const { incarnations, device } = this.#ports;
    const upgrade = this.#succession.begin(to, {
      serving: (epoch, stallMs) => observer.serving(epoch, stallMs),
      ended: (outcome) => {
        if (outcome.outcome === "refused") incarnations.unprepare();
        observer.ended(outcome);
      },
    });
    const { openTimeoutMs } = this.#policy;
    upgrade.within(openTimeoutMs, `${to.kind} is not ready after ${openTimeoutMs} ms`);
    incarnations.prepare(to, (failure) => {
      if (this.#succession.upgrade !== upgrade) return;
      if (failure !== undefined) return upgrade.refused(failure);
      upgrade.ready();
      device.settle(() => this.#handOver(upgrade));
    });
    return true;
  }

  /** The newcomer is ready, and the driver that serves has flushed. */
  #handOver(upgrade: Upgrade): void {
    if (this.#succession.upgrade !== upgrade) return;
    const { from, to } = upgrade;
    if (this.#phase.name !== "live" || this.#stopping || this.driver !== from) {
      return upgrade.refused(`it became ${this.state} meanwhile, with ${this.driver.kind}`);
    }
    this.#tell({ type: "upgrade", reason: `${to.kind} is to take over from ${from.kind}` });
    upgrade.handOver();
    this.#close(`upgraded to ${to.kind}`, (idle) => this.#ports.device.learn(idle));
  }

  /** The operator's own check says that it is not well. */
  sick(epoch: number, reason: string): void {
    if (this.#isCurrent(epoch, "live")) this.#giveUp("health", reason);
  }

  /**
   * No new requests; what is in flight ends; flush, close. The observer is told the outcome. `handsOver`: another front goes on with
   * it, and new requests are its affair.
   */
  stop({ handsOver = false }: { readonly handsOver?: boolean } = {}): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#stopTimer = this.#ports.clock.after(this.#policy.stopTimeoutMs, () => this.#stopLate());
    // There will be no other driver that could be given what the newcomer has flushed.
    this.#ports.device.believe();
    const { name } = this.#phase;
    if (name === "idle" || name === "failed" || name === "stopped") return this.#stopped();
    // With nothing left of another front, that is.
    if (!this.#opened && this.#ports.device.shadow.pieces === 0) {
      if (name === "opening") this.#giveUp("operator", "stopped while it was opening");
      return;
    }
    if (handsOver) this.#ports.device.settle(() => this.#drain(handsOver));
    else this.#drain(handsOver);
    // The time that a stop has is too short to wait for the end of a delay.
    if (name === "delay") {
      if (this.#nothingLeft) this.#stopped();
      else this.#startIncarnation();
    }
  }

  #drain(handsOver: boolean): void {
    this.#ports.device.drain(handsOver, () => {
      this.#drained = true;
      if (this.#phase.name === "live") this.#close("stopped");
      else if (this.#phase.name === "opening" && this.#nothingLeft)
        this.#giveUp("operator", "stopped while it was opening");
    });
  }

  // ── What incarnations report ──────────────────────────────────────────────────────────────────────────────────

  opened(epoch: number, info: DriverInfo, link: Link): void {
    if (!this.#isCurrent(epoch, "opening")) return;
    this.#setPhase({ name: "replaying", epoch });
    this.#log.opened(this.#now());
    this.#ports.device.attach(link, info, this.driver, {
      replayed: () => this.#live(epoch),
      mismatch: (what) => {
        this.#mismatch = `the driver ${this.#opened ? "came back" : "comes"} with another store: ${what}`;
        this.#giveUp("other-store", this.#mismatch);
      },
    });
    if (!this.#isCurrent(epoch, "replaying", "live")) return;
    this.#opened = true;
    this.#judge.watch(epoch, link.patience);
  }

  openFailed(epoch: number, message: string): void {
    if (!this.#isCurrent(epoch, "opening")) return;
    this.#openFailure = message;
    this.#giveUp("open-failed", message);
  }

  completed(epoch: number, tag: number, errno: number, count: number): void {
    const fault = this.#ports.device.complete(epoch, tag, errno, count);
    if (fault !== undefined) this.fault(epoch, fault, `invalid completion: ${meaningOf(fault)}`);
  }

  settled(_epoch: number): void {
    this.#ports.device.kick();
    if (this.upgrading) this.#succession.completed(this.#ports.device.inFlight?.completed ?? 0);
  }

  fault(epoch: number, kind: FaultKind, what: string): void {
    if (this.#isCurrent(epoch, "opening", "replaying", "live", "closing")) this.#giveUp(kind, what);
  }

  exited(epoch: number, kind: FaultKind, how: string): void {
    if (!("epoch" in this.#phase) || this.#phase.epoch !== epoch) return;
    const { name } = this.#phase;
    if (name !== "reaping" && name !== "closing") {
      this.#lost(kind, name === "opening" && !this.#opened ? `it ended while opening: ${how}` : how);
    }
    this.#ports.device.detach({ blame: "nobody" });
    this.#setPhase({ name: "idle" });
    this.#ports.device.reaped();
    this.#tell({ type: "reaped", reason: how });
    this.#log.reaped(this.#now());
    this.#refuseWaiting();
    this.#next(how);
  }

  // ── Decisions ─────────────────────────────────────────────────────────────────────────────────────────────────

  #startIncarnation(): void {
    this.#epoch++;
    if (this.#epoch > 1 && this.#log.since !== undefined) this.#restarts++;
    const epoch = this.#epoch;
    this.#openFailure = undefined;
    this.#end = undefined;
    this.#closeAsked = false;
    this.#setPhase({ name: "opening", epoch }, this.#policy.openTimeoutMs, () => {
      this.#openFailure = `its store is not open after ${this.#policy.openTimeoutMs} ms`;
      this.#giveUp("open-late", this.#openFailure);
    });
    this.#log.started(this.#now());
    this.#ports.incarnations.start(epoch, this.driver);
  }

  #live(epoch: number): void {
    const recovery = this.#log.live(epoch, this.#now());
    this.#setPhase({ name: "live", epoch });
    this.#liveAt = this.#now();
    this.#judge.absolve();
    this.#held = undefined;
    this.#refuses = false;
    this.#heldTimer?.cancel();
    this.#heldTimer = undefined;
    if (!this.#stopping) this.#ports.device.serveAgain();
    if (recovery !== undefined) {
      this.#say("info", `live again after ${recovery.totalMs.toFixed(1)} ms, epoch ${epoch} (${recovery.reason})`);
    }
    this.#tell({ type: "live", recovery, reason: recovery?.reason ?? "started" });
    this.#ports.observer.live();
    this.#succession.live(epoch);
    if (this.#drained) this.#close("stopped");
  }

  /** The incarnation is not to be trusted any more: nothing of it counts, and it has to go. */
  #giveUp(kind: FaultKind, reason: string, isSuspected?: Verdict["isOverdue"]): void {
    if (!("epoch" in this.#phase)) return;
    const { name, epoch } = this.#phase;
    if (name === "reaping") return;
    this.#lost(kind, reason, isSuspected);
    this.#setPhase({ name: "reaping", epoch }, this.#policy.reapTimeoutMs, () => {
      this.#hold(`the driver of epoch ${epoch} was killed and is not reaped yet (${reason})`);
      // A stop has no more time to give.
      if (this.#killedToStop) this.#stopped();
    });
    this.#refuseWaiting();
    this.#ports.incarnations.kill(epoch);
  }

  /** The incarnation is lost, by its fault or not: nothing of it counts any more. */
  #lost(kind: FaultKind, reason: string, isSuspected?: Verdict["isOverdue"]): void {
    this.#judge.unwatch();
    this.faults[kind]++;
    this.#noticed(reason);
    this.#tell({ type: "fault", fault: kind, reason });
    const liveMs = this.#liveAt === undefined ? undefined : this.#now() - this.#liveAt;
    this.#liveAt = undefined;
    const suspicion = { blame: blameOf(kind), ...(isSuspected === undefined ? {} : { isSuspected }) };
    this.#ports.device.detach(suspicion);
    this.#end = { kind, liveMs, wasFruitful: this.#ports.device.fruitful, reason };
    this.#succession.lost(kind, reason);
  }

  /** The incarnation is to end in order, within the time that a stop has. `then`: what else is to be done at rest. */
  #close(reason: string, then: (done: () => void) => void = (done) => done()): void {
    if (this.#phase.name !== "live") return;
    const { epoch } = this.#phase;
    if (!this.#stopping) this.#noticed(reason);
    this.#end = undefined;
    this.#liveAt = undefined;
    this.#setPhase({ name: "closing", epoch }, this.#policy.stopTimeoutMs, () => {
      this.#killedToStop = this.#stopping;
      this.#giveUp("close-late", `it did not close within ${this.#policy.stopTimeoutMs} ms`);
    });
    // A planned restart leaves to the next incarnation what completed after its flush; a stop that comes meanwhile can't.
    const toStop = this.#stopping;
    this.#ports.device.quiesce(() => {
      then(() => {
        if (!this.#isCurrent(epoch, "closing")) return;
        this.#closeAsked = toStop;
        this.#judge.unwatch();
        this.#ports.incarnations.close(epoch);
      });
    });
  }

  #noticed(reason: string): void {
    if (!this.#stopping) this.#say("warn", `epoch ${this.#epoch} is given up: ${reason}`);
    this.#log.noticed(reason, this.#now());
    this.#heldTimer ??= afterRunning(this.#ports.clock, this.#policy.heldTimeoutMs, () => {
      this.#refuseAll(`no driver for ${this.#policy.heldTimeoutMs} ms: ${reason}`);
    });
  }

  #hold(reason: string): void {
    this.#held = reason;
    this.#say("error", `held: ${reason}${this.#refuses ? "; requests get EIO until it is back" : ""}`);
    this.#tell({ type: "held", reason });
  }

  #refuseAll(reason: string): void {
    this.#refuses = true;
    this.#hold(reason);
    this.#refuseWaiting();
  }

  /** While it is held, what a lost incarnation leaves unanswered doesn't wait for the next one. */
  #refuseWaiting(): void {
    if (this.#refuses) this.#ports.device.refuse(ERRNO.EIO);
  }

  /** The incarnation is reaped: what now? */
  #next(how: string): void {
    if (!this.#opened) {
      this.#setPhase({ name: "stopped" });
      this.#cancelTimers();
      if (this.#stopping) return this.#stopped();
      return this.#ports.observer.startFailed(this.#openFailure ?? this.#mismatch ?? `it ended while opening: ${how}`);
    }
    // A driver that dies before its last flush is started once more: what it took along has to be replayed.
    if (this.#stopping && (this.#nothingLeft || this.#killedToStop)) return this.#stopped();
    const mismatch = this.#mismatch;
    this.#mismatch = undefined;
    const isAnother = this.#succession.next(this.#stopping);
    if (mismatch !== undefined && !isAnother) return this.#fail(mismatch);
    if (isAnother || this.#end === undefined) {
      this.#pardon();
      return this.#startIncarnation();
    }
    const cure = this.#cure.next(this.#end, this.#now());
    if ("exhausted" in cure) return this.#exhausted(`${cure.exhausted}, the last one: ${this.#end.reason}`);
    this.#restartAfter(cure.restartAfterMs, this.#end.reason);
  }

  #restartAfter(delayMs: number, reason: string): void {
    this.#tell({ type: "restart", epoch: this.#epoch + 1, delayMs, reason });
    if (delayMs === 0) return this.#startIncarnation();
    this.#setPhase({ name: "delay" }, delayMs, () => this.#startIncarnation());
  }

  /** Another driver is tried, or the same one by the operator's wish: nothing is held against any request. */
  #pardon(): void {
    this.#readOnly = false;
    this.#ports.device.pardon();
  }

  #changed(type: "fallback" | "rollback" | "upgraded", reason: string): void {
    this.#cure.reset();
    if (type === "rollback") this.#log.renamed(`rolled back: ${reason}`);
    this.#say(type === "upgraded" ? "info" : "warn", `${type}: ${reason}; ${this.driver.kind} serves`);
    this.#tell({ type, reason });
  }

  /** Restarts don't help: another driver, or what the policy says. */
  #exhausted(reason: string): void {
    const { exhausted } = this.#policy;
    if (this.#succession.hasFallback) {
      this.#succession.fallBack(reason);
      this.#succession.next(this.#stopping);
      this.#pardon();
      return this.#startIncarnation();
    }
    if (exhausted === "failed") return this.#fail(reason);
    if (exhausted === "read-only" && !this.#readOnly) {
      this.#readOnly = true;
      this.#cure.reset();
      this.#ports.device.stopWriting(`read-only: ${reason}`);
      this.#say("error", `read-only: ${reason}; writes get EPERM, acknowledged ones stay, until a restart`);
      this.#tell({ type: "read-only", reason });
      return this.#startIncarnation();
    }
    if (!this.#refuses) this.#refuseAll(reason);
    this.#restartAfter(this.#policy.maxRestartDelayMs, reason);
  }

  #fail(reason: string): void {
    this.#setPhase({ name: "failed", reason });
    this.#say("error", `failed: ${reason}; requests get EIO, acknowledged writes stay, until a restart`);
    this.#tell({ type: "failed", reason });
    this.#heldTimer?.cancel();
    this.#heldTimer = undefined;
    this.#ports.device.refuse(ERRNO.EIO);
    this.#succession.failed(this.#epoch);
    this.#ports.observer.failed(reason);
    if (this.#stopping) this.#stopped();
  }

  #judged(epoch: number, { kind, what, isOverdue }: Verdict): void {
    if (this.#isCurrent(epoch, "replaying", "live", "closing")) this.#giveUp(kind, what, isOverdue);
  }

  /** It kills every incarnation. Whether it is refused for that: there may be another driver to try. */
  #convicted({ operation, offset, length, acknowledged }: Convict): boolean {
    const what = operation === "flush" ? "a flush" : `a ${operation} of ${length} bytes at ${offset}`;
    // A request may be at fault for what it is. A flush is like all others, and who dies of it is.
    const isDrivers = operation === "flush";
    if ((this.#policy.poison === "fallback" || isDrivers) && this.#succession.hasFallback) {
      this.#succession.fallBack(`${what} kills it`);
      return false;
    }
    const consequence = acknowledged ? "it stays in the shadow and is served from there" : "it gets EIO";
    const reason = `${what} kills every incarnation: ${consequence}`;
    // Its deadlines were right, and others need not wait ever longer for the next one.
    this.#judge.absolve();
    this.#cure.found();
    this.#say("error", reason);
    this.#tell({ type: "convicted", operation, offset, length, acknowledged, reason });
    return true;
  }

  /** Another incarnation could do nothing for the stop. */
  get #nothingLeft(): boolean {
    return this.#drained && (this.#closeAsked || this.#ports.device.shadow.pieces === 0);
  }

  #stopLate(): void {
    this.#killedToStop = true;
    if ("epoch" in this.#phase && this.#phase.name !== "reaping") {
      return this.#giveUp("close-late", `it did not stop within ${this.#policy.stopTimeoutMs} ms`);
    }
    this.#stopped();
  }

  #stopped(): void {
    const { pieces } = this.#ports.device.shadow;
    const unanswered = this.#ports.device.unanswered;
    const reasons = [
      ...(this.#killedToStop ? [`the driver did not stop within ${this.#policy.stopTimeoutMs} ms and was killed`] : []),
      ...(this.#phase.name === "reaping" ? ["the driver is not reaped"] : []),
      ...(pieces > 0 ? [`${pieces} acknowledged pieces are not known to be durable`] : []),
      ...(unanswered > 0 ? [`${unanswered} requests are unanswered`] : []),
    ];
    const clean = reasons.length === 0;
    const reason = clean ? undefined : reasons.join("; ");
    this.#setPhase({ name: "stopped" });
    this.#cancelTimers();
    this.#ports.device.dispose();
    this.#succession.upgrade?.refused("it was stopped meanwhile");
    this.#tell({ type: "stopped", clean, reason: reason ?? "everything is durable" });
    this.#ports.observer.stopped({ clean, reason });
  }

  #cancelTimers(): void {
    this.#judge.unwatch();
    this.#phaseTimer?.cancel();
    this.#heldTimer?.cancel();
    this.#stopTimer?.cancel();
  }

  #setPhase(phase: Phase, timeoutMs?: number, late?: () => void): void {
    this.#phaseTimer?.cancel();
    this.#phaseTimer =
      timeoutMs === undefined || late === undefined ? undefined : afterRunning(this.#ports.clock, timeoutMs, late);
    this.#phase = phase;
  }

  #isCurrent(epoch: number, ...names: Phase["name"][]): boolean {
    return "epoch" in this.#phase && this.#phase.epoch === epoch && names.includes(this.#phase.name);
  }

  #tell(event: Untold): void {
    const { epoch = this.#epoch } = event;
    this.#ports.observer.event({ ...event, epoch, driver: this.driver.kind } as DeviceEvent);
  }

  #now(): number {
    return this.#ports.clock.now();
  }

  #say(level: "info" | "warn" | "error", message: string): void {
    this.#ports.log[level](`${this.#ports.device.name}: ${message}`);
  }
}
