import type { Extent } from "../../block/request.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import { NbdRequestError } from "./errors.ts";
import type { Exchange, MetaExtent, Run } from "./exchange.ts";

/** One request: what the protocol wants of it, and what it is for. Offset and length in bytes. */
export interface ClientRequest {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  /** "read", "write": for messages. */
  readonly verb: string;
  /** A write's data, borrowed until the promise settles. */
  readonly data?: Uint8Array;
  /** Where a read's data goes, likewise. */
  readonly into?: Uint8Array;
  /** Where the extents of base:allocation go. */
  readonly extents?: Extent[];
  /** Where the extents of contexts go. */
  readonly contexts?: ReadonlyMap<string, MetaExtent[]>;
  /** Whoever reads wants to know the runs. */
  readonly sparse?: boolean;
  /**
   * Settles the promise at once. The request may be with the server all the same, and `data` and `into` are in use until it
   * answers: so they have to be memory that nobody else uses.
   */
  readonly signal?: AbortSignal | undefined;
}

/** A request and its promise, from the user's call to the last byte of the reply. */
export class PendingRequest implements Exchange {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly data: Uint8Array | undefined;
  readonly into: Uint8Array | undefined;
  readonly extents: Extent[] | undefined;
  readonly contexts: ReadonlyMap<string, MetaExtent[]> | undefined;
  readonly sparse: boolean;
  runs: Run[] | undefined;
  covered = 0;
  error = 0;

  /** The connections that were lost while it had no reply. */
  losses = 0;
  /** Of a flush: the writes that were acknowledged before it was issued. */
  covers = 0;
  readonly signal: AbortSignal | undefined;
  /** What to undo when it is settled. */
  unwatch: (() => void) | undefined;
  /** Whether its promise is. It may still be with the server. */
  isSettled = false;
  readonly #verb: string;
  readonly #reply = Promise.withResolvers<void>();

  constructor(request: ClientRequest) {
    this.type = request.type;
    this.flags = request.flags;
    this.offset = request.offset;
    this.length = request.length;
    this.data = request.data;
    this.into = request.into;
    this.extents = request.extents;
    this.contexts = request.contexts;
    this.sparse = request.sparse ?? false;
    this.signal = request.signal;
    this.#verb = request.verb;
  }

  get promise(): Promise<void> {
    return this.#reply.promise;
  }

  /** Bytes of data that go one way or the other. */
  get weight(): number {
    return this.type === COMMAND.READ || this.type === COMMAND.WRITE ? this.length : 0;
  }

  /** Whether it changes contents, and may not be durable when it is answered. */
  get needsFlush(): boolean {
    const isWriter = this.type === COMMAND.WRITE || this.type === COMMAND.TRIM || this.type === COMMAND.WRITE_ZEROES;
    return isWriter && (this.flags & COMMAND_FLAG.FUA) === 0;
  }

  /** As if it had never been answered in part. */
  reset(): void {
    this.runs = undefined;
    this.covered = 0;
    this.error = 0;
    if (this.extents !== undefined) this.extents.length = 0;
    for (const list of this.contexts?.values() ?? []) list.length = 0;
  }

  /** `errno`: 0, or the number that the server answered. */
  answer(errno: number): void {
    if (errno === 0) this.#reply.resolve();
    else this.#reply.reject(new NbdRequestError(describeAction(this.#verb, this.offset, this.length), errno));
  }

  reject(reason: unknown): void {
    this.#reply.reject(reason);
  }
}

/** "read 512 bytes at 0": for messages. */
export function describeAction(verb: string, offset: number, length: number): string {
  return length === 0 ? verb : `${verb} ${length} bytes at ${offset}`;
}
