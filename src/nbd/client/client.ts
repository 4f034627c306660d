import type { Extent } from "../../block/request.ts";
import { type Address, parseUri } from "../uri.ts";
import { COMMAND, COMMAND_FLAG, FLAG } from "../wire/protocol.ts";
import { ClientConnection } from "./connection.ts";
import { type Agreement, type ListedExport, listExports, negotiate } from "./handshake.ts";
import { ClientStream } from "./stream.ts";

const CONNECT_TIMEOUT_MS = 10_000;

export interface NbdClientOptions {
  /** A unix socket, or a host and a port. */
  readonly address: Address;
  /** The export; the default one if left out. */
  readonly name?: string;
  /** From the attempt to connect to the end of the handshake. */
  readonly timeoutMs?: number;
}

/**
 * A client of one NBD export. Requests are pipelined: make as many as you like without waiting, they are answered in any
 * order. Those made in one turn of the event loop go out together.
 *
 * Every method rejects with an {@link NbdRequestError} where the server answers an error (`code`: "EIO", "ENOSPC", …),
 * and with a SkinkError `disconnected` or `bad-server` where the connection is lost.
 * Offsets and lengths are bytes, multiples of `minimumBlockSize`.
 */
export class NbdClient {
  readonly #agreement: Agreement;
  readonly #connection: ClientConnection;

  /**
   * Connects to `nbd://host:port/name` or `nbd+unix:///name?socket=path`.
   * Rejects with `bad-uri`, `cannot-connect`, `unknown-export`, `refused-export` or `bad-server`.
   */
  static async connect(target: string | NbdClientOptions): Promise<NbdClient> {
    const { address, name, timeoutMs } = optionsOf(target);
    const stream = await ClientStream.open(address, timeoutMs);
    try {
      return new NbdClient(stream, await negotiate(stream, name));
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  /** The exports of a server. Rejects as `connect` does. */
  static async list(target: string | NbdClientOptions): Promise<ListedExport[]> {
    const { address, timeoutMs } = optionsOf(target);
    const stream = await ClientStream.open(address, timeoutMs);
    try {
      const exports = await listExports(stream);
      stream.socket.destroySoon();
      return exports;
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  private constructor(stream: ClientStream, agreement: Agreement) {
    this.#agreement = agreement;
    this.#connection = new ClientConnection(stream, agreement.allocationId);
  }

  /** The name that the server knows the export by. */
  get name(): string {
    return this.#agreement.name;
  }

  get description(): string {
    return this.#agreement.description;
  }

  /** Bytes. */
  get size(): number {
    return this.#agreement.size;
  }

  get minimumBlockSize(): number {
    return this.#agreement.minimumBlockSize;
  }

  get preferredBlockSize(): number {
    return this.#agreement.preferredBlockSize;
  }

  /** The most data of one read or write, bytes. */
  get maximumPayload(): number {
    return this.#agreement.maximumPayload;
  }

  get readOnly(): boolean {
    return this.#can(FLAG.READ_ONLY);
  }

  get canFlush(): boolean {
    return this.#can(FLAG.FLUSH);
  }

  get canFua(): boolean {
    return this.#can(FLAG.FUA);
  }

  get canTrim(): boolean {
    return this.#can(FLAG.TRIM);
  }

  get canZero(): boolean {
    return this.#can(FLAG.WRITE_ZEROES);
  }

  get canFastZero(): boolean {
    return this.#can(FLAG.FAST_ZERO);
  }

  get canCache(): boolean {
    return this.#can(FLAG.CACHE);
  }

  get canMultiConn(): boolean {
    return this.#can(FLAG.CAN_MULTI_CONN);
  }

  /** Whether `blockStatus` will do. */
  get canBlockStatus(): boolean {
    return this.#agreement.allocationId !== undefined;
  }

  /** Whether replies are structured: then reads may come in parts, with holes. */
  get structured(): boolean {
    return this.#agreement.structured;
  }

  /** Whether the connection is there. */
  get connected(): boolean {
    return this.#connection.alive;
  }

  /** Reads into new memory, which is the caller's. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const into = new Uint8Array(length);
    await this.readInto(offset, into);
    return into;
  }

  /** Fills `into`, which is borrowed until the promise settles. After an error its contents are unspecified. */
  readInto(offset: number, into: Uint8Array): Promise<void> {
    return this.#connection.request({
      type: COMMAND.READ,
      flags: 0,
      offset,
      length: into.length,
      verb: "read",
      into,
    });
  }

  /** Writes `data`, which is borrowed until the promise settles. `fua`: durable before that. */
  write(offset: number, data: Uint8Array, { fua = false } = {}): Promise<void> {
    const { length } = data;
    return this.#connection.request({ type: COMMAND.WRITE, flags: fuaFlag(fua), offset, length, verb: "write", data });
  }

  /** What was answered before, on any connection where `canMultiConn`, is durable when this resolves. */
  flush(): Promise<void> {
    return this.#request(COMMAND.FLUSH, 0, 0, 0, "flush");
  }

  /** The contents of the range are not needed any more. */
  trim(offset: number, length: number, { fua = false } = {}): Promise<void> {
    return this.#request(COMMAND.TRIM, fuaFlag(fua), offset, length, "trim");
  }

  /** Zeroes the range. `mayTrim`: a hole will do. `fast`: fail with ENOTSUP where it is no faster than writing. */
  zero(offset: number, length: number, { fua = false, mayTrim = true, fast = false } = {}): Promise<void> {
    const flags = fuaFlag(fua) | (mayTrim ? 0 : COMMAND_FLAG.NO_HOLE) | (fast ? COMMAND_FLAG.FAST_ZERO : 0);
    return this.#request(COMMAND.WRITE_ZEROES, flags, offset, length, "zero");
  }

  /** Asks the server to have the range at hand. */
  cache(offset: number, length: number): Promise<void> {
    return this.#request(COMMAND.CACHE, 0, offset, length, "cache");
  }

  /**
   * The extents from `offset` on, at least one; they may end before the range or, the last one, after it. `one`: exactly
   * one. Needs `canBlockStatus`.
   */
  async blockStatus(offset: number, length: number, { one = false } = {}): Promise<Extent[]> {
    const extents: Extent[] = [];
    await this.#connection.request({
      type: COMMAND.BLOCK_STATUS,
      flags: one ? COMMAND_FLAG.REQ_ONE : 0,
      offset,
      length,
      verb: "get the block status of",
      extents,
    });
    return extents;
  }

  /** Says goodbye after the replies to all requests. Resolves when the connection is closed. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Closes at once. Requests without a reply are rejected. */
  destroy(): void {
    this.#connection.destroy();
  }

  #request(type: number, flags: number, offset: number, length: number, verb: string): Promise<void> {
    return this.#connection.request({ type, flags, offset, length, verb });
  }

  #can(flag: number): boolean {
    return (this.#agreement.flags & flag) !== 0;
  }
}

function fuaFlag(fua: boolean): number {
  return fua ? COMMAND_FLAG.FUA : 0;
}

function optionsOf(target: string | NbdClientOptions): { address: Address; name: string; timeoutMs: number } {
  const { address, name, timeoutMs } =
    typeof target === "string" ? { ...parseUri(target), timeoutMs: undefined } : target;
  return { address, name: name ?? "", timeoutMs: timeoutMs ?? CONNECT_TIMEOUT_MS };
}
