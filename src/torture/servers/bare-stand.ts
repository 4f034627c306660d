import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SkinkError } from "../../block/errors.ts";
import { Guardian } from "../../link/guardian.ts";
import type { CommandSource } from "../../link/nbd/source.ts";
import { familyMark, newMark } from "../../link/process-mark.ts";
import { formatUri } from "../../nbd/uri.ts";
import { readStat } from "../../os/process-stat.ts";
import type { Detection, Recovery } from "../plan.ts";
import type { Findings, Stand } from "../stand.ts";
import { StrikeClock } from "../strike-clock.ts";
import { waitFor, within } from "../wait.ts";
import { BareServer } from "./bare-server.ts";
import { isListening } from "./listening.ts";
import { Relay } from "./relay.ts";

/** For the server, or the relay, to listen for the first time. */
const START_MS = 30_000;
/** … and again, once the faults are over. */
const SETTLE_MS = 30_000;
/** For the kernel to take everything apart in the end. */
const END_MS = 10_000;

export interface BareStandOptions {
  readonly source: CommandSource;
  readonly recovery: Recovery;
  /** When the fault has struck so far, by Date.now(), oldest first. */
  strikes(): readonly number[];
  /** Takes a line for the story of the trial. */
  tell(line: string): void;
}

/**
 * A foreign server without Skink, with its usual recovery: it is started again when it has ended, and somebody in front of it connects
 * again, and issues again what has no reply.
 *
 *     client          load, reconnects ─────────────────────────▶ server ◀── is killed, and started again
 *     nbdkit-retry    load ──▶ nbdkit --filter=retry nbd ───────▶ server
 *     qemu-reconnect  load ──▶ qemu-nbd, reconnect-delay ───────▶ server
 */
export class BareStand implements Stand {
  readonly reconnects: boolean;
  readonly neighbours: readonly [] = [];
  readonly #options: BareStandOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "skink-bare-"));
  readonly #mark = newMark([]);
  readonly #guardian = new Guardian(this.#mark, this.#folder);
  readonly #server: BareServer;
  readonly #relaySocket = join(this.#folder, "relay.sock");
  readonly #victimCallbacks: ((pid: number) => void)[] = [];
  readonly #detections: { at: number; detection: Detection }[] = [];
  readonly #childrenBefore = childrenCpuMs();
  readonly #clock: StrikeClock;
  #relay: Relay | undefined;
  #relayFailure: string | undefined;
  #listens = false;
  #restarts = -1;
  #lastLine = "";
  #hasEnded = false;

  /** Nothing of the server runs yet; `end` is to be called in any case. */
  constructor(options: BareStandOptions) {
    this.#options = options;
    this.reconnects = options.recovery === "client";
    this.#clock = new StrikeClock(() => options.strikes());
    const { tell } = options;
    this.#server = new BareServer(options.source, this.#folder, this.#mark, {
      started: (pid) => {
        this.#restarts++;
        for (const callback of this.#victimCallbacks) callback(pid);
      },
      listening: () => this.#recovered(),
      ended: (kind, how) => this.#detected(kind, how),
      output: (line) => {
        this.#lastLine = line;
        tell(`server: ${line}`);
      },
    });
  }

  /** Resolves when clients may come. Rejects with `not-ready`. */
  async start(): Promise<void> {
    const { recovery, source, tell } = this.#options;
    this.#server.start();
    // One that ends before it has ever listened does not do better the second time.
    await waitFor(START_MS, () => this.#listens || this.#restarts > 0 || this.#hasEnded || undefined);
    if (!this.#listens) throw notReady(this.#lastLine);
    if (recovery === "client") return;
    const server = this.#server.address.path;
    // The guardian finds it by the server's mark, which is a part of its own; and it isn't of the server's family, which is killed.
    const mark = familyMark(`${this.#mark}.relay`);
    this.#relay = new Relay(
      recovery,
      { listen: this.#relaySocket, server, name: source.name, mark },
      {
        output: (line) => tell(`relay: ${line}`),
        ended: (how) => {
          this.#relayFailure = `the relay: ${how}`;
          tell(this.#relayFailure);
        },
      },
    );
    const isThere = (): boolean => isListening(this.#relaySocket);
    await waitFor(START_MS, () => isThere() || this.#relayFailure !== undefined || this.#hasEnded || undefined);
    if (!isThere()) throw notReady(this.#relayFailure ?? "");
  }

  get uri(): string {
    if (this.reconnects) return formatUri({ address: this.#server.address, name: this.#options.source.name });
    return formatUri({ address: { path: this.#relaySocket }, name: "" });
  }

  victim(): number | undefined {
    return this.#server.pid;
  }

  onVictim(callback: (pid: number) => void): void {
    this.#victimCallbacks.push(callback);
    const pid = this.victim();
    if (pid !== undefined) callback(pid);
  }

  findings(): Findings {
    return {
      detections: this.#detections.map(({ detection }) => detection),
      restarts: Math.max(0, this.#restarts),
      state: this.#relayFailure !== undefined ? "failed" : this.#listens ? "live" : "recovering",
      driverCpuMs: childrenCpuMs() - this.#childrenBefore + cpuMsOf(this.victim()),
      frontCpuMs: this.reconnects ? undefined : cpuMsOf(this.#relay?.pid),
    };
  }

  /** Rejects with `not-ready`. */
  async settled(): Promise<void> {
    await waitFor(SETTLE_MS, () => this.#listens || this.#relayFailure !== undefined || this.#hasEnded || undefined);
    if (this.#relayFailure !== undefined) throw notReady(this.#relayFailure);
    if (!this.#listens) throw notReady(this.#lastLine);
  }

  async end(): Promise<void> {
    this.#hasEnded = true;
    await within(END_MS, Promise.all([this.#relay?.end(), this.#server.end()]));
    this.#guardian.dismiss();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #detected(kind: string, reason: string): void {
    const at = Date.now();
    this.#listens = false;
    this.#options.tell(`the server: ${reason}`);
    this.#detections.push({
      at,
      detection: { kind, reason, detectMs: this.#clock.detected(at), recoverMs: undefined },
    });
  }

  #recovered(): void {
    this.#listens = true;
    const now = Date.now();
    for (const entry of this.#detections) {
      if (entry.detection.recoverMs !== undefined) continue;
      entry.detection = { ...entry.detection, recoverMs: now - entry.at };
    }
  }
}

function notReady(what: string): SkinkError {
  const is = what === "" ? "nobody listens" : `nobody listens, last words: ${what}`;
  return new SkinkError("not-ready", `Cannot bring the server up: ${is}, a socket for clients was wanted`);
}

function cpuMsOf(pid: number | undefined): number {
  return pid === undefined ? 0 : (readStat(pid)?.cpuMs ?? 0);
}

/** Of the processes that this one has started and that have ended. */
function childrenCpuMs(): number {
  return readStat(process.pid)?.childrenCpuMs ?? 0;
}
