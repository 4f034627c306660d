import type { Extent } from "../../block/request.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import type { Agreement } from "./agreement.ts";
import { type BulkOptions, readChunks, writeChunks } from "./bulk.ts";
import { DescribedExport } from "./described-export.ts";
import { infoOf, type ListedExport, type ListOptions, listOf } from "./discovery.ts";
import { badRequest } from "./errors.ts";
import { establish } from "./establish.ts";
import type { MetaExtent } from "./exchange.ts";
import type { ExportInfo } from "./export-info.ts";
import { type PlacedExtent, walkExtents } from "./extent-walk.ts";
import {
  establishOptions,
  MAX_BYTES_IN_FLIGHT,
  MAX_REQUESTS_IN_FLIGHT,
  type NbdClientOptions,
  type NbdConnectOptions,
  type NbdTarget,
  positive,
  type RequestOptions,
  type StatusOptions,
  type WriteOptions,
  type ZeroOptions,
} from "./options.ts";
import { type ClientRequest, describeAction, type PendingRequest } from "./pending-request.ts";
import { Pipeline } from "./pipeline.ts";
import { Reconnector } from "./reconnector.ts";
import { type CheckedRequest, forbidden, isEmpty, unspeakable } from "./request-rules.ts";
import { placeRuns, type SparseRun } from "./sparse.ts";
import { effectLimit, inParts, partOf, payloadLimit } from "./split.ts";

/**
 * A client of one NBD export. Requests are pipelined: make as many as you like without waiting, they are answered in any
 * order, and those past the limits wait their turn. Those made in one turn of the event loop go out together.
 *
 * Offsets and lengths are bytes, multiples of `minimumBlockSize`; a request of length 0 does nothing. Memory that is handed
 * to a request is borrowed until its promise settles.
 *
 * Every method rejects with an {@link NbdRequestError} where the server answers an error (`code`: "EIO", "ENOSPC", …), with
 * `bad-request` where the request makes no sense, and with `disconnected` or `bad-server` where the connection is lost.
 */
export class NbdClient extends DescribedExport implements AsyncDisposable {
  readonly #pipeline: Pipeline;
  readonly #isStrict: boolean;

  /**
   * Connects to a URI, as `nbd://host:port/name` or `nbd+unix:///name?socket=path`, with `nbds` for TLS; or to a target.
   * Rejects with one of {@link NBD_ERROR_CODES}, or with the signal's reason.
   */
  static async connect(target: string | NbdTarget, options: NbdClientOptions = {}): Promise<NbdClient> {
    const wanted = establishOptions(target, options);
    const { maxRequests = MAX_REQUESTS_IN_FLIGHT, maxBytes = MAX_BYTES_IN_FLIGHT, strict = true } = options;
    const { replyTimeoutMs, reconnect } = options;
    const pipelineOptions = {
      maxRequests: positive("maxRequests", maxRequests),
      maxBytes: positive("maxBytes", maxBytes),
      replyTimeoutMs: replyTimeoutMs === undefined ? undefined : positive("replyTimeoutMs", replyTimeoutMs),
      reconnector: reconnect === undefined ? undefined : new Reconnector(wanted, reconnect),
    };
    return new NbdClient(new Pipeline(await establish(wanted), pipelineOptions), strict);
  }

  /** What a server says of an export, which is not opened for that. Rejects as `connect` does. */
  static async info(target: string | NbdTarget, options: NbdConnectOptions = {}): Promise<ExportInfo> {
    return await infoOf(target, options);
  }

  /** The exports of a server, with all that it says of them where `details` are wanted. Rejects as `connect` does. */
  static async list(
    target: string | NbdTarget,
    options: NbdConnectOptions & { readonly details: true },
  ): Promise<ExportInfo[]>;
  static async list(target: string | NbdTarget, options?: NbdConnectOptions): Promise<ListedExport[]>;
  static async list(target: string | NbdTarget, options: ListOptions = {}): Promise<ListedExport[]> {
    return await listOf(target, options);
  }

  private constructor(pipeline: Pipeline, isStrict: boolean) {
    super();
    this.#pipeline = pipeline;
    this.#isStrict = isStrict;
  }

  protected get agreement(): Agreement {
    return this.#pipeline.agreement;
  }

  /** Whether the connection is there. */
  get connected(): boolean {
    return this.#pipeline.isConnected;
  }

  /** Reads into new memory, which is the caller's. */
  async read(offset: number, length: number, { signal }: RequestOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const range = { type: COMMAND.READ, flags: 0, offset, length, verb: "read" };
    this.#check(range);
    const into = newMemory(length);
    await this.#send({ ...range, into, signal });
    return into;
  }

  /** Fills `into`. After an error its contents are unspecified. */
  readInto(offset: number, into: Uint8Array, { signal }: RequestOptions = {}): Promise<void> {
    if (signal !== undefined) return this.read(offset, into.length, { signal }).then((data) => into.set(data));
    return this.#request({ type: COMMAND.READ, flags: 0, offset, length: into.length, verb: "read", into });
  }

  /**
   * Reads a range as the server sends it: runs of data and of holes, which read as zeroes, in order and without gaps. The data
   * is the caller's, views of one piece of memory. Servers whose replies aren't `structured` send data alone.
   */
  async readSparse(offset: number, length: number, { signal }: RequestOptions = {}): Promise<SparseRun[]> {
    const range = { type: COMMAND.READ, flags: 0, offset, length, verb: "read" };
    this.#check(range);
    const into = newMemory(length);
    const parts: { start: number; pending: PendingRequest }[] = [];
    await inParts(length, payloadLimit(this.agreement), (start, count) => {
      const part = { ...partOf({ ...range, into }, start, count), sparse: true, signal };
      const pending = this.#pipeline.request(part);
      parts.push({ start, pending });
      return pending.promise;
    });
    return parts.flatMap(({ start, pending }) => placeRuns(pending.runs ?? [], offset, into, start));
  }

  /** Writes `data`. */
  write(offset: number, data: Uint8Array, { fua = false, signal }: WriteOptions = {}): Promise<void> {
    const own = signal === undefined ? data : data.slice();
    const { length } = data;
    return this.#request({
      type: COMMAND.WRITE,
      flags: fuaFlag(fua),
      offset,
      length,
      verb: "write",
      data: own,
      signal,
    });
  }

  /** What was answered before, on any connection where `canMultiConn`, is durable when this resolves. Needs `canFlush`. */
  flush({ signal }: RequestOptions = {}): Promise<void> {
    return this.#request({ type: COMMAND.FLUSH, flags: 0, offset: 0, length: 0, verb: "flush", signal });
  }

  /** The contents of the range are not needed any more. Needs `canTrim`. */
  trim(offset: number, length: number, { fua = false, signal }: WriteOptions = {}): Promise<void> {
    return this.#request({ type: COMMAND.TRIM, flags: fuaFlag(fua), offset, length, verb: "trim", signal });
  }

  /** Zeroes the range. Needs `canZero`. */
  zero(offset: number, length: number, options: ZeroOptions = {}): Promise<void> {
    const { fua = false, mayTrim = true, fast = false, signal } = options;
    const flags = fuaFlag(fua) | (mayTrim ? 0 : COMMAND_FLAG.NO_HOLE) | (fast ? COMMAND_FLAG.FAST_ZERO : 0);
    return this.#request({ type: COMMAND.WRITE_ZEROES, flags, offset, length, verb: "zero", signal });
  }

  /** Asks the server to have the range at hand. Needs `canCache`. */
  cache(offset: number, length: number, { signal }: RequestOptions = {}): Promise<void> {
    return this.#request({ type: COMMAND.CACHE, flags: 0, offset, length, verb: "cache", signal });
  }

  /**
   * Makes the export so large; requests for the new part may follow when this resolves. Needs `canResize`, and nothing in
   * flight: what is, may or may not be affected.
   */
  async resize(size: number, { signal }: RequestOptions = {}): Promise<void> {
    const verb = `resize to ${size} bytes`;
    await this.#request({ type: COMMAND.RESIZE, flags: 0, offset: size, length: 0, verb, signal });
    this.#pipeline.resized(size);
  }

  /**
   * The extents of base:allocation from `offset` on, at least one; they may end before the range or, the last one, after it.
   * Needs `canBlockStatus`. `extents` is for whole ranges.
   */
  async blockStatus(offset: number, length: number, options: StatusOptions = {}): Promise<Extent[]> {
    const extents: Extent[] = [];
    await this.#status(this.canBlockStatus, offset, length, options, { extents });
    return extents;
  }

  /** The extents of all selected contexts, by their names: each list as `blockStatus` has it. Needs `contexts`. */
  async metaStatus(offset: number, length: number, options: StatusOptions = {}): Promise<Map<string, MetaExtent[]>> {
    const contexts = new Map(this.contexts.map((name): [string, MetaExtent[]] => [name, []]));
    await this.#status(contexts.size > 0, offset, length, options, { contexts });
    return contexts;
  }

  /**
   * The extents of a range, the whole export if left out: like neighbours are one, and none goes past its end. Where the
   * server doesn't tell, it is one extent of data.
   */
  async *extents(
    offset = 0,
    length = this.size - offset,
    { signal }: RequestOptions = {},
  ): AsyncGenerator<PlacedExtent, void, undefined> {
    this.#check({ type: COMMAND.READ, flags: 0, offset, length, verb: "tell the extents of" });
    yield* walkExtents(this, offset, length, signal);
  }

  /** The contents of a range, the whole export if left out, in order, read some requests ahead. */
  async *chunks(
    offset = 0,
    length = this.size - offset,
    options: BulkOptions = {},
  ): AsyncGenerator<Buffer, void, undefined> {
    this.#check({ type: COMMAND.READ, flags: 0, offset, length, verb: "read" });
    yield* readChunks(this, offset, length, options);
  }

  /**
   * Writes what `source` gives, such as a stream, from `offset` on; its pieces may have any length, all of them together that
   * of whole blocks. Resolves with the number of bytes, when they are written; a flush is the caller's.
   */
  writeFrom(
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    offset = 0,
    options: BulkOptions = {},
  ): Promise<number> {
    return writeChunks(this, source, offset, options);
  }

  /** Says goodbye after the replies to all requests; there can be no new ones. Resolves when the connection is closed. */
  close(): Promise<void> {
    return this.#pipeline.close();
  }

  /** Closes at once. Requests without a reply are rejected. */
  destroy(): void {
    this.#pipeline.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #status(
    isTold: boolean,
    offset: number,
    length: number,
    { one = false, signal }: StatusOptions,
    sink: Pick<ClientRequest, "extents" | "contexts">,
  ): Promise<void> {
    const verb = "get the block status of";
    if (!isTold) throw badRequest(describeAction(verb, offset, length), "the server tells no extents", "one that does");
    const flags = one ? COMMAND_FLAG.REQ_ONE : 0;
    // Where lengths have 32 bits, the rest of a longer range is left open: an answer may end early.
    const asked = Math.min(length, effectLimit(this.agreement));
    await this.#request({ type: COMMAND.BLOCK_STATUS, flags, offset, length: asked, verb, signal, ...sink });
  }

  #request(request: ClientRequest): Promise<void> {
    try {
      this.#check(request);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#send(request);
  }

  /** Throws `bad-request`. */
  #check(request: CheckedRequest): void {
    const wrong = unspeakable(request) ?? (this.#isStrict ? forbidden(request, this.agreement) : undefined);
    if (wrong !== undefined) throw wrong;
  }

  #send(request: ClientRequest): Promise<void> {
    if (this.#isStrict && isEmpty(request)) return Promise.resolve();
    const { length, data, into } = request;
    const limit = (data ?? into) === undefined ? effectLimit(this.agreement) : payloadLimit(this.agreement);
    if (length <= limit) return this.#pipeline.request(request).promise;
    return inParts(length, limit, (start, count) => this.#pipeline.request(partOf(request, start, count)).promise);
  }
}

function fuaFlag(fua: boolean): number {
  return fua ? COMMAND_FLAG.FUA : 0;
}

/** Not cleared: a read fills all of it, or fails. */
function newMemory(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
