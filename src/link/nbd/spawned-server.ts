import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { FaultKind } from "../../block/fault.ts";
import type { Target } from "../../nbd/uri.ts";
import { oomKills } from "../../os/process-stat.ts";
import { nameEnding } from "../ending.ts";
import { DriverOutput } from "../output.ts";
import { killFamily } from "../process-family.ts";
import { familyMark, MARK } from "../process-mark.ts";
import type { NbdServerEvents, NbdServerRun } from "./server-run.ts";
import { SOCKET_PLACE } from "./source.ts";

/** How long a server may take to end once it has been asked to, after its last client has gone. */
const TERMINATION_GRACE_MS = 5000;
/** How long output that was printed before the end is waited for. */
const LAST_WORDS_MS = 100;

/** Words at which no program's name begins, though they look like one. */
const SHELL_BUILTINS = /^(\.|:|alias|cd|command|eval|exec|exit|export|read|readonly|set|trap|ulimit|umask|unset)[ \t]/;

export interface SpawnOrder {
  readonly epoch: number;
  /** A line for the shell, with SOCKET_PLACE in it. */
  readonly command: string;
  /** The folder in which it runs. */
  readonly folder: string;
  /** The export; empty for the default one. */
  readonly name: string;
  /** A folder that exists, for its socket. */
  readonly sockets: string;
  /** In the environment of all processes that come of it. */
  readonly mark: string;
  /** A line that it printed. */
  readonly output: (line: string) => void;
}

/** A server that we start ourselves: a process group of its own, with a socket of its own. */
export class SpawnedServer implements NbdServerRun {
  readonly ours = true;
  readonly patienceMs = undefined;
  readonly target: Target;
  readonly #order: SpawnOrder;
  readonly #events: NbdServerEvents;
  readonly #child: ChildProcess;
  readonly #socketFolder: string;
  readonly #closed = Promise.withResolvers<void>();
  readonly #oomKillsBefore = oomKills();
  #lastLine = "";
  #hasExited = false;
  /** It was told to end. */
  #asked = false;
  #grace: NodeJS.Timeout | undefined;

  /** Throws where the machine refuses what it takes. */
  constructor(order: SpawnOrder, events: NbdServerEvents) {
    this.#order = order;
    this.#events = events;
    this.#socketFolder = join(order.sockets, `${order.epoch}`);
    const socket = join(this.#socketFolder, "nbd.sock");
    this.target = { address: { path: socket }, name: order.name };
    // A guardian that was ended may have removed the folder around it.
    mkdirSync(this.#socketFolder, { recursive: true, mode: 0o700 });
    this.#child = spawn("/bin/sh", ["-c", shellLine(order.command.replaceAll(SOCKET_PLACE, socket))], {
      cwd: order.folder,
      // A group of its own, to be killed as a whole.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, [MARK]: familyMark(order.mark), SKINK_EPOCH: `${order.epoch}` },
    });
    this.#readOutput();
    this.#child.once("error", (error) => {
      if (this.#child.pid === undefined) this.#gone("open-failed", `it could not be started: ${error.message}`);
    });
    this.#child.once("exit", (code, signal) => {
      const oomKilled = !this.#asked && oomKills() > this.#oomKillsBefore;
      const { kind, how } = nameEnding({ code, signal, lastWords: undefined, saidHeapFull: false, oomKilled });
      this.#exited(kind, how);
    });
  }

  get pid(): number | undefined {
    return this.#hasExited ? undefined : this.#child.pid;
  }

  close(): void {
    if (this.#hasExited) return;
    this.#asked = true;
    this.#signal("SIGTERM");
    // Everything is durable by now, so that being patient for longer would serve nobody.
    this.#grace = setTimeout(() => this.#signal("SIGKILL"), TERMINATION_GRACE_MS);
  }

  kill(): void {
    this.#asked = true;
    this.#signal("SIGKILL");
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#hasExited) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It has just ended; that is told by itself.
    }
  }

  #readOutput(): void {
    const output = new DriverOutput((line) => {
      this.#lastLine = line;
      this.#order.output(line);
    });
    // Where the machine has no descriptors left for them there are no pipes.
    for (const pipe of [this.#child.stdout, this.#child.stderr]) if (pipe) output.read(pipe);
    this.#child.once("close", () => {
      output.end();
      this.#closed.resolve();
    });
  }

  /** The process is reaped; whatever it has started has to go with it, since it may still write to the store. */
  async #exited(kind: FaultKind, status: string): Promise<void> {
    this.#hasExited = true;
    clearTimeout(this.#grace);
    const byItself = !this.#asked;
    this.#events.ended(kind, status);
    const hadFamily = await killFamily(this.#child.pid as number, this.#order.mark);
    // Its last words may still be in the pipes, which nobody holds open any more.
    await Promise.race([this.#closed.promise, delay(LAST_WORDS_MS)]);
    const went = byItself && hadFamily ? `${status}, what it left in the background was killed` : status;
    this.#gone(kind, this.#lastLine === "" ? went : `${went}, its last words: ${this.#lastLine}`);
  }

  #gone(kind: FaultKind, how: string): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    rmSync(this.#socketFolder, { recursive: true, force: true });
    this.#events.gone(kind, how);
  }
}

/**
 * A program with its arguments takes the shell's place, so that the process that we know is the server's own. What needs
 * a shell, as a variable or a builtin does, is left to it.
 */
export function shellLine(command: string): string {
  const isPlain = /^[\w./+-]+([ \t]+[\w@%+:,./={}'"\t -]*)?$/.test(command);
  return isPlain && !SHELL_BUILTINS.test(command) ? `exec ${command}` : command;
}
