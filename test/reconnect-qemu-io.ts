import { strict as assert } from "node:assert";
import type { ChildProcess } from "node:child_process";
import { type Ended, ended, type Scene } from "./scene.ts";
import { within } from "./until.ts";

/** For so long QEMU tries to reach its server again before requests fail. */
export const RECONNECT_DELAY_S = 30;
/** Longer than QEMU lets a request wait, so that it is QEMU that says what became of it. */
const ANSWER_TIMEOUT_MS = (RECONNECT_DELAY_S + 15) * 1000;
const PROMPT = "qemu-io> ";

export interface QemuIoTarget {
  /** A unix socket. */
  readonly socket: string;
  /** The name of the export. */
  readonly name: string;
}

/** `unknown`: another request failed as well, and QEMU says in the end only that one of them did. */
export type FlushOutcome = "succeeded" | "failed" | "unknown";

/**
 * QEMU's NBD client with a writeback cache mode and `reconnect-delay`: what a virtual machine's disk is. It stays
 * connected from one command to the next, so that things can happen in between.
 */
export class QemuIo {
  /** Requests, flushes not counted, that QEMU answered with an error. */
  errors = 0;
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #said = "";
  #heard: (() => void) | undefined;

  static async open(scene: Scene, { socket, name }: QemuIoTarget): Promise<QemuIo> {
    const options = `driver=nbd,server.type=unix,server.path=${socket},export=${name},reconnect-delay=${RECONNECT_DELAY_S}`;
    const child = scene.spawn("qemu-io", ["-t", "writeback", "--image-opts", options], { stdio: "pipe" });
    const session = new QemuIo(child);
    await session.#prompt("to be connected");
    return session;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = ended(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (text: string) => {
        this.#said += text;
        this.#heard?.();
      });
    }
    child.once("exit", () => this.#heard?.());
    // Who writes to one that has ended learns it from its end.
    child.stdin?.on("error", () => {});
  }

  /** Fills a range with one byte's value. Returns whether that was acknowledged. Offset and length in bytes. */
  async write(offset: number, length: number, value: number): Promise<boolean> {
    return this.#judge(await this.#command(`write -P ${value} ${offset} ${length}`), "wrote", length);
  }

  /** Resolves when the flush is answered; how, is known in the end: see {@link close}. */
  async flush(): Promise<void> {
    await this.#command("flush");
  }

  /** `undefined`: it failed. */
  async read(offset: number, length: number): Promise<Uint8Array | undefined> {
    const answer = await this.#command(`read -v ${offset} ${length}`);
    return this.#judge(answer, "read", length) ? dumped(answer, offset, length) : undefined;
  }

  /** Ends the session. qemu-io tells of a flush that failed by its exit code, and in no other way. */
  async close(): Promise<FlushOutcome> {
    this.#child.stdin?.end("quit\n");
    const { code } = await within("the end of qemu-io", ANSWER_TIMEOUT_MS, this.#ended);
    if (code === 0) return "succeeded";
    return this.errors === 0 ? "failed" : "unknown";
  }

  #judge(answer: string, done: "wrote" | "read", length: number): boolean {
    const isDone = answer.includes(`${done} ${length}/${length} bytes`);
    if (!isDone) this.errors++;
    return isDone;
  }

  /** What it says until it asks for the next command. */
  async #command(command: string): Promise<string> {
    this.#said = "";
    this.#child.stdin?.write(`${command}\n`);
    return await this.#prompt(`to answer: ${command}`);
  }

  async #prompt(what: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#heard = () => {
      if (this.#said.endsWith(PROMPT)) resolve(this.#said);
      else if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        reject(new Error(`qemu-io ended instead of waiting for a command: ${this.#said}`));
      }
    };
    this.#heard();
    try {
      return await within(`qemu-io ${what}`, ANSWER_TIMEOUT_MS, promise);
    } finally {
      this.#heard = undefined;
    }
  }
}

/** The bytes of a dump, a line for 16 of them: `00000200:  00 00 … 00  ................`. */
function dumped(answer: string, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let known = 0;
  for (const [, address = "", values = ""] of answer.matchAll(/^([0-9a-f]{8,}):((?: +[0-9a-f]{2})+) {2}/gm)) {
    const line = Buffer.from(values.replaceAll(" ", ""), "hex");
    bytes.set(line, Number.parseInt(address, 16) - offset);
    known += line.length;
  }
  assert.equal(known, length, "qemu-io's dump is not whole");
  return bytes;
}
