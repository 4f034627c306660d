import { FAULTS, type Fault } from "./fates.ts";
import { plainProfile } from "./profile.ts";
import type { ClientScript, ScriptedRequest } from "./program.ts";
import type { PromiseName } from "./violation.ts";
import { differences, plainDraft, replaced, requestsOf, type WorldScript } from "./world-script.ts";

/** Seeds that a smaller world is tried with before it counts as well. */
const TRIES = 12;
/** Worlds that are run at most. */
const MOST_RUNS = 30_000;

export interface Broken {
  readonly promise: PromiseName;
  readonly message: string;
}

export interface ShrinkPorts {
  /** Lives the world; what it broke, and what has come true in it of what was left to chance. */
  run(script: WorldScript): { readonly broken: Broken | undefined; readonly faults: WorldScript["faults"] };
  /** A smaller one was found. */
  progress?(requests: number, runs: number): void;
}

/** Something smaller, or simpler, to be tried; `undefined` where there is nothing to be left out. */
type Smaller = WorldScript | undefined;

/**
 * Makes a world smaller that breaks a promise, as long as it breaks the same one: greedily, part by part, until nothing can be left
 * out any more. First while the faults come by chance, each smaller world with several seeds, since what breaks a promise is some
 * fault at some moment, and in another world that is another moment; then the faults that came true are spelled out, and left out
 * one by one. Deterministic: the same script gives the same smallest one.
 */
export function shrink(
  broken: WorldScript,
  ports: ShrinkPorts,
): { readonly script: WorldScript; readonly runs: number } {
  const shrinker = new Shrinker(broken, ports);
  shrinker.shrink();
  return { script: shrinker.script, runs: shrinker.runs };
}

class Shrinker {
  script: WorldScript;
  runs = 0;
  readonly #ports: ShrinkPorts;
  readonly #wanted: Broken;

  constructor(script: WorldScript, ports: ShrinkPorts) {
    this.script = script;
    this.#ports = ports;
    const { broken } = ports.run(script);
    if (broken === undefined) throw new Error("Cannot shrink a world: it breaks nothing");
    this.#wanted = broken;
  }

  shrink(): void {
    const { faults, ...byChance } = this.script;
    const spelledOut = faults !== undefined;
    // With all that it draws by chance it is another world, but perhaps one that breaks the same.
    const isFree = this.#take(byChance);
    this.#rounds();
    if (isFree) this.#spellOut();
    if (spelledOut || isFree) {
      this.#dropFaults();
      this.#rounds();
      this.#dropFaults();
    }
  }

  /** Until a round finds nothing more. */
  #rounds(): void {
    for (let before = ""; before !== JSON.stringify(this.script); ) {
      before = JSON.stringify(this.script);
      this.#dropClients();
      this.#dropRequests();
      this.#plainProfile();
      this.#plainClients();
      this.#plainRequests();
    }
  }

  #dropClients(): void {
    for (let i = this.script.clients.length - 1; i >= 0; i--) {
      this.#take({ ...this.script, clients: this.script.clients.filter((_, at) => at !== i) });
    }
  }

  /** Halves, quarters, and so on, down to single ones; from the end, so that what is before stays as it is. */
  #dropRequests(): void {
    for (let size = Math.ceil(requestsOf(this.script) / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = requestsOf(this.script) - size; at > -size; at -= size) {
        this.#take(withoutRequests(this.script, Math.max(at, 0), at + size));
      }
    }
  }

  /** Whole subtrees first, then what of them has to differ. */
  #plainProfile(): void {
    const plain = plainProfile(this.script.profile);
    for (const key of Object.keys(plain)) this.#toPlain([key], plain[key as keyof typeof plain]);
    for (const { path, plain: by } of differences(this.script.profile, plain)) this.#toPlain(path, by);
    for (const { path, value, plain: by } of differences(this.script.profile, plain)) {
      if (!Number.isInteger(value) || !Number.isInteger(by)) continue;
      this.#toPlain(path, Math.round(((value as number) + (by as number)) / 2));
    }
  }

  #toPlain(path: readonly string[], by: unknown): void {
    const profile = replaced(this.script.profile, path, by);
    if (differences(profile, this.script.profile).length > 0) this.#take({ ...this.script, profile });
  }

  #plainClients(): void {
    this.script.clients.forEach((_, i) => {
      for (const plain of [{ depth: 1 }, { thinkMs: 0 }, { fragments: false }, { structured: true }]) {
        this.#take(withClient(this.script, i, (client) => ({ ...client, ...plain })));
      }
    });
  }

  #plainRequests(): void {
    this.script.clients.forEach(({ requests }, i) => {
      for (let at = 0; at < requests.length; at++) {
        const change = (how: (request: ScriptedRequest) => ScriptedRequest): boolean =>
          this.#take(
            withClient(this.script, i, (client) => ({
              ...client,
              requests: client.requests.map((request, place) => (place === at ? how(request) : request)),
            })),
          );
        change(plainDraft);
        while (change(halved));
      }
    });
  }

  /** What came true is what comes true, from here on. */
  #spellOut(): void {
    const { faults } = this.#ports.run(this.script);
    if (faults !== undefined) this.#take({ ...this.script, faults });
  }

  #dropFaults(): void {
    for (const fault of FAULTS) {
      for (let at = this.#timesOf(fault).length - 1; at >= 0; at--) {
        const times = this.#timesOf(fault).filter((_, place) => place !== at);
        const faults = { ...this.script.faults, [fault]: times };
        if (times.length === 0) delete faults[fault];
        this.#take({ ...this.script, faults });
      }
    }
  }

  #timesOf(fault: Fault): readonly number[] {
    return this.script.faults?.[fault] ?? [];
  }

  /** Goes on with it if it breaks the same, with the seed that it has or one of the next. */
  #take(smaller: Smaller): boolean {
    if (smaller === undefined || JSON.stringify(smaller) === JSON.stringify(this.script)) return false;
    for (let i = 0; i < TRIES && this.runs < MOST_RUNS; i++) {
      const candidate = { ...smaller, seed: smaller.seed + i };
      this.runs++;
      const { broken } = this.#ports.run(candidate);
      if (broken === undefined || !isSame(broken, this.#wanted)) continue;
      this.script = candidate;
      this.#ports.progress?.(requestsOf(candidate), this.runs);
      return true;
    }
    return false;
  }
}

/** The same promise; of those that are broken in many ways, in the same words. */
function isSame(broken: Broken, wanted: Broken): boolean {
  if (broken.promise !== wanted.promise) return false;
  return wanted.promise.startsWith("P") || wordsOf(broken) === wordsOf(wanted);
}

/** Its first words, without numbers and requests. */
function wordsOf({ message }: Broken): string {
  return message.replaceAll(/#\d+( of \[\d+, \d+\))?|\d+/g, "").slice(0, 60);
}

function withClient(script: WorldScript, i: number, change: (client: ClientScript) => ClientScript): WorldScript {
  return { ...script, clients: script.clients.map((client, at) => (at === i ? change(client) : client)) };
}

/** Without those from `from` to `until`, counted over all clients. */
function withoutRequests(script: WorldScript, from: number, until: number): WorldScript {
  let at = 0;
  const clients = script.clients.map((client) => ({
    ...client,
    requests: client.requests.filter(() => {
      const place = at++;
      return place < from || place >= until;
    }),
  }));
  return { ...script, clients };
}

function halved(request: ScriptedRequest): ScriptedRequest {
  return request.count < 2 ? request : { ...request, count: request.count >> 1 };
}
