import { type ChildProcess, spawn } from "node:child_process";
import { readSync } from "node:fs";
import type { Socket } from "node:net";
import { ring as ringDoorbell } from "../os/doorbell.ts";
import type { IncarnationEvents } from "../shadow/ports.ts";
import { bootParameters, readBootCode } from "./boot-parameters.ts";
import { type FrontMessage, type HostMessage, MAX_CONTROL_LINE_BYTES, parseHostMessage } from "./control.ts";
import { listen, Parts, RECEIVE_BYTES, type Rings } from "./host-parts.ts";
import type { KeptFile } from "./kept.ts";
import { LineReader } from "./lines.ts";
import { type DriverSource, driverName } from "./opening.ts";
import type { DriverOutput } from "./output.ts";
import { groupRuns, killGroup } from "./process-group.ts";
import { ProcessLink } from "./process-link.ts";
import { FrontRing } from "./ring.ts";
import type { SharedArenas } from "./shared-arenas.ts";

/** Not --input-type: a driver's own worker threads inherit the flags, and would not start with that one. */
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning", "--eval"];
/** How often to look whether the last of a killed host's own children is gone. */
const GROUP_POLL_MS = 5;
/** How long a stream of output that somebody else still holds open is read after its host is gone. */
const OUTPUT_GRACE_MS = 1000;

export interface HostOrder {
  readonly epoch: number;
  readonly driver: DriverSource;
  readonly memory: SharedArenas;
  readonly depth: number;
  readonly kept: readonly KeptFile[];
  /** JavaScript that an earlier host has left. */
  readonly code: { readonly fd: number; readonly bytes: number } | undefined;
  readonly output: DriverOutput;
}

/** What its owner does for a host process, apart from listening to its events. */
export interface HostOwner {
  readonly events: IncarnationEvents;
  /** Takes over the files that the host has made. Throws where one is not what the host says. */
  take(pid: number, message: HostMessage & { type: "opened" }): void;
  openFailed(epoch: number, message: string): void;
  /** It is gone: the last that is heard of it. */
  exited(epoch: number, how: string): void;
}

type State = "opening" | "open" | "given up" | "gone";

/** One driver host, from its start until it is reaped. */
export class HostProcess {
  readonly #order: HostOrder;
  readonly #owner: HostOwner;
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #controlFd: number;
  readonly #doorbell: Socket;
  readonly #doorbellFd: number;
  readonly #lines = new LineReader(MAX_CONTROL_LINE_BYTES);
  readonly #rings: Rings;
  #state: State = "opening";
  #link: ProcessLink | undefined;
  #lastWords: string | undefined;

  /** Throws where the machine refuses what it takes: descriptors, memory. */
  constructor(order: HostOrder, owner: HostOwner) {
    this.#order = order;
    this.#owner = owner;
    const parts = new Parts();
    try {
      this.#rings = parts.rings(order.depth);
      const [control, controlPeer] = parts.pair();
      const [doorbell, doorbellPeer] = parts.pair();
      const boot = parts.file(Buffer.from(JSON.stringify(bootParameters(order))));
      this.#child = spawn(process.execPath, [...NODE_FLAGS, readBootCode()], {
        detached: true,
        stdio: [
          "ignore",
          "pipe",
          "pipe",
          controlPeer,
          doorbellPeer,
          boot,
          order.code?.fd ?? boot,
          order.memory.writesFd,
          order.memory.readsFd,
          this.#rings.frontFd,
          this.#rings.hostFd,
          ...order.kept.map(({ fd }) => fd),
        ],
      });
      this.#controlFd = parts.keep(control);
      this.#doorbellFd = parts.keep(doorbell);
    } catch (error) {
      parts.unmap();
      throw error;
    } finally {
      parts.close();
    }
    this.#control = listen(this.#controlFd, (bytes) => this.#receive(bytes));
    this.#doorbell = listen(this.#doorbellFd, (bytes) => this.#link?.rung(bytes.length));
    this.#readOutput();
    this.#child.once("error", (error) => this.#notStarted(error));
    this.#child.once("exit", (code, signal) => this.#reaped(code, signal));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  close(): void {
    this.#send({ type: "close" });
  }

  kill(): void {
    this.#giveUp();
    const pid = this.#child.pid;
    if (pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) killGroup(pid);
  }

  #giveUp(): void {
    if (this.#state !== "gone") this.#state = "given up";
    this.#link?.end();
  }

  #receive(bytes: Uint8Array): void {
    const lines = this.#lines.push(bytes);
    if (lines === undefined) {
      this.#fault(`a control message is longer than ${MAX_CONTROL_LINE_BYTES} bytes`);
      return;
    }
    for (const line of lines) this.#hear(line);
  }

  #hear(line: string): void {
    if (this.#state === "given up" || this.#state === "gone") return;
    const message = parseHostMessage(line);
    if (message === undefined) {
      this.#fault("a control message makes no sense");
      return;
    }
    if (message.type === "dying") {
      this.#lastWords = message.message;
    } else if (this.#state !== "opening") {
      this.#fault(`a control message "${message.type}" came twice`);
    } else if (message.type === "openFailed") {
      this.#giveUp();
      this.#owner.openFailed(this.#order.epoch, message.message);
    } else {
      this.#opened(message);
    }
  }

  #opened(message: HostMessage & { type: "opened" }): void {
    try {
      this.#owner.take(this.#child.pid as number, message);
    } catch (error) {
      this.#fault(`the memory that it made could not be taken over: ${(error as Error).message}`);
      return;
    }
    this.#state = "open";
    this.#send({ type: "taken" });
    const ring = new FrontRing(this.#rings.front.buffer, this.#rings.host.buffer, this.#order.depth);
    this.#link = new ProcessLink(this.#order.epoch, ring, () => this.#wakeHost(), this.#owner.events);
    this.#owner.events.opened(this.#order.epoch, message.info, this.#link);
  }

  #fault(what: string): void {
    if (this.#state === "given up" || this.#state === "gone") return;
    this.#giveUp();
    this.#owner.events.fault(this.#order.epoch, what);
  }

  #send(message: FrontMessage): void {
    if (this.#state !== "gone") this.#control.write(`${JSON.stringify(message)}\n`);
  }

  #readOutput(): void {
    const { stdout, stderr } = this.#child;
    for (const pipe of [stdout, stderr]) {
      const stream = this.#order.output.stream();
      pipe?.on("data", (chunk: Buffer) => stream.push(chunk));
      pipe?.on("error", () => {});
      pipe?.once("close", () => stream.end());
    }
    this.#child.once("close", () => this.#order.output.end());
  }

  #notStarted(error: Error): void {
    if (this.#child.pid !== undefined) return;
    const name = driverName(this.#order.driver);
    this.#owner.openFailed(this.#order.epoch, `Cannot start driver ${name}: ${error.message}, a process was wanted`);
    this.#gone("not started");
  }

  #reaped(code: number | null, signal: NodeJS.Signals | null): void {
    const leader = this.#child.pid as number;
    // What it said and completed before its end is still to be heard.
    this.#hearRest();
    this.#link?.drain();
    this.#link?.end();
    let how = signal !== null ? `killed by ${signal}` : `exit code ${code}`;
    if (this.#lastWords !== undefined) how += `: ${this.#lastWords}`;
    // A process that the driver started may outlive it, and still write to the store.
    killGroup(leader);
    const look = () => {
      if (groupRuns(leader)) setTimeout(look, GROUP_POLL_MS);
      else this.#gone(how);
    };
    look();
  }

  #wakeHost(): void {
    // Of a destroyed socket, the descriptor's number may be another connection's by now.
    if (!this.#doorbell.destroyed) ringDoorbell(this.#doorbellFd);
  }

  #hearRest(): void {
    const bytes = Buffer.alloc(RECEIVE_BYTES);
    // A socket that is destroyed has closed its descriptor: the number may be another connection's by now.
    for (let heard = 0; heard <= MAX_CONTROL_LINE_BYTES && !this.#control.destroyed; ) {
      let count: number;
      try {
        count = readSync(this.#controlFd, bytes);
      } catch {
        return;
      }
      if (count === 0) return;
      heard += count;
      this.#receive(bytes.subarray(0, count));
    }
  }

  #gone(how: string): void {
    this.#state = "gone";
    this.#link?.end();
    this.#control.destroy();
    this.#doorbell.destroy();
    this.#rings.front.unmap();
    this.#rings.host.unmap();
    const { stdout, stderr } = this.#child;
    setTimeout(() => {
      stdout?.destroy();
      stderr?.destroy();
    }, OUTPUT_GRACE_MS).unref();
    this.#owner.exited(this.#order.epoch, how);
  }
}
