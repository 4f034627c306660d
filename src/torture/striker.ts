import type { SeededRandom } from "../block/random.ts";
import { killGroup } from "../link/process-group.ts";
import type { ProcessFault } from "./plan.ts";
import type { Stand } from "./stand.ts";

/**
 * About as long as a process takes to serve. Of a row of strikes half come as soon as there is a process, the others within this time;
 * a persistent one comes up to so much later: so some incarnations serve, and others don't get to it.
 */
const OPENING_MS = 150;

type Victims = Pick<Stand, "victim" | "onVictim" | "neighbours">;

/** Kills and stops of the process that stores, from outside, as a plan has them. */
export class Striker {
  readonly #fault: ProcessFault;
  readonly #stand: Victims;
  readonly #random: SeededRandom;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Those that are stopped. */
  readonly #stopped = new Set<number>();
  #left: number;
  /** A strike is due, and there is nobody to be struck. */
  #isDue = false;
  readonly #strikes: number[] = [];
  readonly #killed = new Set<number>();

  /** For kinds "kill", "kill-all" and "stop". Nothing is struck yet. */
  constructor(fault: ProcessFault, stand: Victims, random: SeededRandom) {
    this.#fault = fault;
    this.#stand = stand;
    this.#random = random;
    this.#left = fault.persistence === "persistent" ? Number.POSITIVE_INFINITY : fault.strikes;
  }

  /** When the strikes were, by Date.now(), oldest first. */
  get strikes(): readonly number[] {
    return this.#strikes;
  }

  /** How many processes have been killed: of the stand's devices, one each. */
  get killed(): number {
    return this.#killed.size;
  }

  /** Whether all strikes have been, and who was stopped goes on; with persistent ones, whether there has been one. */
  get isOver(): boolean {
    if (this.#fault.persistence === "persistent") return this.#strikes.length > 0;
    return this.#left === 0 && this.#timers.size === 0;
  }

  /** The load begins. */
  begin(): void {
    // Told of the one that is there at once, which is struck by the clock of the load.
    const first = this.#stand.victim();
    this.#stand.onVictim((pid) => {
      if (pid !== first) this.#appeared(pid);
    });
    this.#after(this.#fault.afterMs, () => this.#strikeAny());
  }

  /** No more of it; who is stopped goes on. */
  end(): void {
    this.#left = 0;
    this.#isDue = false;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const pid of this.#stopped) this.#continue(pid);
  }

  #appeared(pid: number): void {
    if (this.#left === 0) return;
    if (this.#isDue) return this.#strike(pid);
    // The row has not begun: the driver has been restarted for another reason.
    if (this.#strikes.length === 0) return;
    const { persistence, afterMs } = this.#fault;
    const isPersistent = persistence === "persistent";
    const ms = isPersistent
      ? afterMs + this.#random.below(OPENING_MS)
      : this.#random.below(2) * this.#random.below(OPENING_MS);
    this.#after(ms, () => this.#strike(pid));
  }

  #strikeAny(): void {
    const pid = this.#stand.victim();
    if (pid === undefined) this.#isDue = true;
    else this.#strike(pid);
  }

  #strike(pid: number): void {
    // It may have died meanwhile, and its number be another's.
    if (this.#left === 0 || this.#stand.victim() !== pid) return;
    this.#isDue = false;
    this.#left--;
    this.#strikes.push(Date.now());
    if (this.#fault.kind === "kill") this.#kill([pid], signal);
    else if (this.#fault.kind === "kill-all") this.#kill([pid, ...this.#neighbours()], killGroup);
    else this.#stop(pid);
  }

  /** Those of the neighbours that run. */
  #neighbours(): number[] {
    return this.#stand.neighbours.map((one) => one.victim()).filter((pid) => pid !== undefined);
  }

  /** All in one turn of the event loop: nobody hears of one death before the last of them. */
  #kill(pids: readonly number[], how: (pid: number, name: "SIGKILL") => void): void {
    for (const pid of pids) {
      how(pid, "SIGKILL");
      // The death of a neighbour may not have been noticed since the last strike: it dies once.
      this.#killed.add(pid);
    }
  }

  #stop(pid: number): void {
    this.#stopped.add(pid);
    signal(pid, "SIGSTOP");
    this.#after(this.#fault.lastsMs, () => {
      this.#continue(pid);
      // It has lived through it: the next one of the row is for it, too.
      if (this.#left > 0 && this.#stand.victim() === pid) this.#after(this.#fault.afterMs, () => this.#strike(pid));
    });
  }

  #continue(pid: number): void {
    if (this.#stopped.delete(pid) && this.#stand.victim() === pid) signal(pid, "SIGCONT");
  }

  #after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has just ended by itself.
  }
}
