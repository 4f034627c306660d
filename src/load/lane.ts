import type { SeededRandom } from "../block/random.ts";
import type { NbdClient } from "../nbd/client/client.ts";
import type { Choice, Draw } from "./patterns.ts";

/** What the load needs of a client. Several need a server with `canMultiConn`: else its flushes promise less than is asked here. */
export type LoadClient = Pick<
  NbdClient,
  | "size"
  | "minimumBlockSize"
  | "readOnly"
  | "canFlush"
  | "canFua"
  | "canTrim"
  | "canZero"
  | "connected"
  | "readInto"
  | "write"
  | "zero"
  | "trim"
  | "flush"
>;

/** One request after another, with memory that is used again. */
export class Lane {
  readonly choice: Choice = { kind: "read", sector: 0, count: 1, fua: false, mayTrim: true };
  readonly client: LoadClient;
  readonly draw: Draw;
  readonly random: SeededRandom;
  #memory = new Uint8Array(0);
  /** The last view of it: most loads ask for the same length again and again. */
  #view = this.#memory;

  constructor(client: LoadClient, draw: Draw, random: SeededRandom) {
    this.client = client;
    this.draw = draw;
    this.random = random;
  }

  /** What was drawn, or what the export can do in its place. */
  get kind(): Choice["kind"] {
    const { kind } = this.choice;
    const { readOnly, canFlush, canZero, canTrim } = this.client;
    if (readOnly) return "read";
    if (kind === "flush") return canFlush ? "flush" : "read";
    if ((kind === "zero" && !canZero) || (kind === "trim" && !canTrim)) return "write";
    return kind;
  }

  /** So many bytes, the same ones for each request. */
  memory(length: number): Uint8Array {
    if (this.#memory.length < length) this.#memory = new Uint8Array(length);
    if (this.#view.length !== length) this.#view = this.#memory.subarray(0, length);
    return this.#view;
  }
}
