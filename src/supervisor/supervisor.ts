import { ERRNO } from "../block/errors.ts";
import type { Device } from "../shadow/device.ts";
import type { Clock, DriverInfo, IncarnationEvents, Incarnations, Link, Log, Timer } from "../shadow/ports.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import { type Recovery, RecoveryLog } from "./recovery.ts";

export type DeviceState = "starting" | "live" | "recovering" | "degraded" | "held" | "failed" | "stopping";

export interface SupervisorPorts {
  readonly device: Device;
  readonly incarnations: Incarnations;
  readonly clock: Clock;
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

/** Decides what becomes of incarnations: starts, gives up, kills, waits for the reaping, restarts, holds, stops. */
export class Supervisor implements IncarnationEvents {
  readonly #ports: SupervisorPorts;
  readonly #policy: Policy;
  readonly #log = new RecoveryLog();
  #phase: Phase = { name: "idle" };
  /** Bounds the phase: open timeout, reap timeout, restart delay, planned end. */
  #phaseTimer: Timer | undefined;
  #heldTimer: Timer | undefined;
  #stopTimer: Timer | undefined;
  #epoch: number;
  #restarts = 0;
  /** Incarnations in a row that died before their replay was finished. */
  #shortLives = 0;
  #held: string | undefined;
  /** It has been without a driver for too long: what waits and what comes gets EIO until it is live. */
  #refuses = false;
  /** The store is another one; set from noticing until `failed` is reached. */
  #mismatch: string | undefined;
  /** Why the current incarnation could not open, said before it is reaped. */
  #openFailure: string | undefined;
  #stopping = false;
  #drained = false;
  #killedToStop = false;
  /** Everything that could be done before the end of a stop has been done. */
  #closeAsked = false;

  /** `firstEpoch`: greater than that of every incarnation before, of other fronts too. */
  constructor(ports: SupervisorPorts, policy: Partial<Policy> = {}, firstEpoch = 1) {
    this.#ports = ports;
    this.#policy = { ...DEFAULT_POLICY, ...policy };
    this.#epoch = firstEpoch - 1;
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
    this.#giveUp("killed by the operator");
    return true;
  }

  /** A planned restart: drain, flush, close, open. Ends the `failed` state, too. False if it isn't the time for it. */
  restart(): boolean {
    if (this.#stopping) return false;
    if (this.#phase.name === "failed") {
      this.#startIncarnation();
      return true;
    }
    if (this.#phase.name !== "live") return false;
    this.#close("restarted by the operator");
    return true;
  }

  /** No new requests; what is in flight ends; flush, close. The observer is told the outcome. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#stopTimer = this.#ports.clock.after(this.#policy.stopTimeoutMs, () => this.#stopLate());
    const { name } = this.#phase;
    if (name === "idle" || name === "failed" || name === "stopped") return this.#stopped();
    if (!this.#ports.device.opened) {
      if (name === "opening") this.#giveUp("stopped while it was opening");
      return;
    }
    this.#ports.device.drain(() => {
      this.#drained = true;
      if (this.#phase.name === "live") this.#close("stopped");
      else if (this.#phase.name === "opening" && this.#nothingLeft) this.#giveUp("stopped while it was opening");
    });
    // The time that a stop has is too short to wait for the end of a delay.
    if (name === "delay") {
      if (this.#nothingLeft) this.#stopped();
      else this.#startIncarnation();
    }
  }

  // ── What incarnations report ──────────────────────────────────────────────────────────────────────────────────

  opened(epoch: number, info: DriverInfo, link: Link): void {
    if (!this.#isCurrent(epoch, "opening")) return;
    this.#setPhase({ name: "replaying", epoch });
    this.#log.opened(this.#now());
    this.#ports.device.attach(link, info, {
      replayed: () => this.#live(epoch),
      mismatch: (what) => {
        this.#mismatch = `the driver came back with another store: ${what}`;
        this.#giveUp(this.#mismatch);
      },
    });
  }

  openFailed(epoch: number, message: string): void {
    if (!this.#isCurrent(epoch, "opening")) return;
    this.#openFailure = message;
    this.#giveUp(message);
  }

  completed(epoch: number, tag: number, errno: number, count: number): void {
    const fault = this.#ports.device.complete(epoch, tag, errno, count);
    if (fault !== undefined) this.fault(epoch, `invalid completion: ${fault}`);
  }

  settled(_epoch: number): void {
    this.#ports.device.kick();
  }

  fault(epoch: number, what: string): void {
    if (this.#isCurrent(epoch, "opening", "replaying", "live", "closing")) this.#giveUp(what);
  }

  exited(epoch: number, how: string): void {
    if (!("epoch" in this.#phase) || this.#phase.epoch !== epoch) return;
    const { name } = this.#phase;
    if (name !== "reaping" && name !== "closing") {
      this.#noticed(name === "opening" && !this.#ports.device.opened ? `it ended while opening: ${how}` : how);
    }
    if (name === "opening" || name === "replaying") this.#shortLives++;
    this.#ports.device.detach();
    this.#ports.device.reaped();
    this.#log.reaped(this.#now());
    this.#setPhase({ name: "idle" });
    this.#refuseWaiting();
    this.#next(how);
  }

  // ── Decisions ─────────────────────────────────────────────────────────────────────────────────────────────────

  #startIncarnation(): void {
    this.#epoch++;
    if (this.#epoch > 1 && this.#log.since !== undefined) this.#restarts++;
    const epoch = this.#epoch;
    this.#openFailure = undefined;
    this.#closeAsked = false;
    this.#setPhase({ name: "opening", epoch }, this.#policy.openTimeoutMs, () => {
      this.#openFailure = `its store is not open after ${this.#policy.openTimeoutMs} ms`;
      this.#giveUp(this.#openFailure);
    });
    this.#log.started(this.#now());
    this.#ports.incarnations.start(epoch);
  }

  #live(epoch: number): void {
    const recovery = this.#log.live(epoch, this.#now());
    this.#setPhase({ name: "live", epoch });
    this.#shortLives = 0;
    this.#held = undefined;
    this.#refuses = false;
    this.#heldTimer?.cancel();
    this.#heldTimer = undefined;
    if (!this.#stopping) this.#ports.device.serveAgain();
    if (recovery !== undefined) {
      this.#say("info", `live again after ${recovery.totalMs.toFixed(1)} ms, epoch ${epoch} (${recovery.reason})`);
    }
    this.#ports.observer.live();
    if (this.#drained) this.#close("stopped");
  }

  /** The incarnation is not to be trusted any more: nothing of it counts, and it has to go. */
  #giveUp(reason: string): void {
    if (!("epoch" in this.#phase)) return;
    const { name, epoch } = this.#phase;
    if (name === "reaping") return;
    if (name === "opening" || name === "replaying") this.#shortLives++;
    this.#noticed(reason);
    this.#ports.device.detach();
    this.#setPhase({ name: "reaping", epoch }, this.#policy.reapTimeoutMs, () => {
      this.#held = `the driver of epoch ${epoch} was killed and is not reaped yet (${reason})`;
      this.#say("error", `held: ${this.#held}`);
      // A stop has no more time to give.
      if (this.#killedToStop) this.#stopped();
    });
    this.#refuseWaiting();
    this.#ports.incarnations.kill(epoch);
  }

  /** The incarnation is to end in order, within the time that a stop has. */
  #close(reason: string): void {
    if (this.#phase.name !== "live") return;
    const { epoch } = this.#phase;
    if (!this.#stopping) this.#noticed(reason);
    this.#setPhase({ name: "closing", epoch }, this.#policy.stopTimeoutMs, () => {
      this.#killedToStop = this.#stopping;
      this.#giveUp(`it did not close within ${this.#policy.stopTimeoutMs} ms`);
    });
    // A planned restart leaves to the next incarnation what completed after its flush; a stop that comes meanwhile can't.
    const toStop = this.#stopping;
    this.#ports.device.quiesce(() => {
      this.#closeAsked = toStop;
      this.#ports.incarnations.close(epoch);
    });
  }

  #noticed(reason: string): void {
    if (!this.#stopping) this.#say("warn", `epoch ${this.#epoch} is given up: ${reason}`);
    this.#log.noticed(reason, this.#now());
    this.#heldTimer ??= this.#ports.clock.after(this.#policy.heldTimeoutMs, () => {
      this.#held = `no driver for ${this.#policy.heldTimeoutMs} ms: ${reason}`;
      this.#say("error", `held: ${this.#held}; requests get EIO until it is back`);
      this.#refuses = true;
      this.#refuseWaiting();
    });
  }

  /** While it is held, what a lost incarnation leaves unanswered doesn't wait for the next one. */
  #refuseWaiting(): void {
    if (this.#refuses) this.#ports.device.refuse(ERRNO.EIO);
  }

  /** The incarnation is reaped: what now? */
  #next(how: string): void {
    if (!this.#ports.device.opened) {
      this.#setPhase({ name: "stopped" });
      this.#cancelTimers();
      if (this.#stopping) return this.#stopped();
      return this.#ports.observer.startFailed(this.#openFailure ?? `it ended while opening: ${how}`);
    }
    // A driver that dies before its last flush is started once more: what it took along has to be replayed.
    if (this.#stopping && (this.#nothingLeft || this.#killedToStop)) return this.#stopped();
    const failed = this.#mismatch;
    if (failed !== undefined) {
      this.#setPhase({ name: "failed", reason: failed });
      this.#say("error", `failed: ${failed}; requests get EIO, acknowledged writes stay, until a restart`);
      this.#mismatch = undefined;
      this.#heldTimer?.cancel();
      this.#heldTimer = undefined;
      this.#ports.device.refuse(ERRNO.EIO);
      this.#ports.observer.failed(failed);
      if (this.#stopping) this.#stopped();
      return;
    }
    if (this.#shortLives === 0) return this.#startIncarnation();
    const { restartDelayMs, maxRestartDelayMs } = this.#policy;
    const delay = Math.min(restartDelayMs * 2 ** (this.#shortLives - 1), maxRestartDelayMs);
    this.#setPhase({ name: "delay" }, delay, () => this.#startIncarnation());
  }

  /** Another incarnation could do nothing for the stop. */
  get #nothingLeft(): boolean {
    return this.#drained && (this.#closeAsked || this.#ports.device.shadow.pieces === 0);
  }

  #stopLate(): void {
    this.#killedToStop = true;
    if ("epoch" in this.#phase && this.#phase.name !== "reaping") {
      return this.#giveUp(`it did not stop within ${this.#policy.stopTimeoutMs} ms`);
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
    this.#setPhase({ name: "stopped" });
    this.#cancelTimers();
    this.#ports.device.dispose();
    this.#ports.observer.stopped({
      clean: reasons.length === 0,
      reason: reasons.length === 0 ? undefined : reasons.join("; "),
    });
  }

  #cancelTimers(): void {
    this.#phaseTimer?.cancel();
    this.#heldTimer?.cancel();
    this.#stopTimer?.cancel();
  }

  #setPhase(phase: Phase, timeoutMs?: number, late?: () => void): void {
    this.#phaseTimer?.cancel();
    this.#phaseTimer =
      timeoutMs === undefined || late === undefined ? undefined : this.#ports.clock.after(timeoutMs, late);
    this.#phase = phase;
  }

  #isCurrent(epoch: number, ...names: Phase["name"][]): boolean {
    return "epoch" in this.#phase && this.#phase.epoch === epoch && names.includes(this.#phase.name);
  }

  #now(): number {
    return this.#ports.clock.now();
  }

  #say(level: "info" | "warn" | "error", message: string): void {
    this.#ports.log[level](`${this.#ports.device.name}: ${message}`);
  }
}
