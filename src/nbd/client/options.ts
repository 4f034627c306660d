import type { Address, TlsParameters } from "../uri.ts";
import { parseUri } from "../uri.ts";
import type { ReplyStyle } from "../wire/protocol.ts";
import type { EstablishOptions } from "./establish.ts";
import type { ReconnectOptions } from "./reconnector.ts";

const CONNECT_TIMEOUT_MS = 10_000;
/** Requests that are with the server at once. */
export const MAX_REQUESTS_IN_FLIGHT = 256;
/** … and bytes of their data: two of the largest. */
export const MAX_BYTES_IN_FLIGHT = 64 << 20;

/** An export of a server, as an object in place of a URI. */
export interface NbdTarget {
  /** A unix socket, or a host and a port. */
  readonly address: Address;
  /** The export; the default one if left out. */
  readonly name?: string;
  /** Encrypts; never encrypted if left out. `{}` checks the server's certificate with the system's authorities. */
  readonly tls?: TlsParameters;
}

/** How to talk to a server. */
export interface NbdConnectOptions {
  /** From the attempt to connect to the end of the handshake; 10 s if left out. */
  readonly timeoutMs?: number;
  /** Aborts the attempt. It has no say over the connection that comes of it. */
  readonly signal?: AbortSignal | undefined;
  /** The best style of replies to ask for; "extended" if left out. The server may have less. */
  readonly replies?: ReplyStyle;
}

export interface NbdClientOptions extends NbdConnectOptions {
  /** The contexts that extents are wanted of; `["base:allocation"]` if left out. Those that the export lacks are left out. */
  readonly metaContexts?: readonly string[];
  /** Whether what no server should be asked is rejected with `bad-request`, unasked; yes if left out. */
  readonly strict?: boolean;
  /** Requests that are with the server at once; others wait in the client, in order. 256 if left out. */
  readonly maxRequests?: number;
  /** Bytes of data of the requests that are with the server at once; 64 MiB if left out. */
  readonly maxBytes?: number;
  /** A connection on which nothing moves for so long, with requests unanswered, is lost. Never if left out. */
  readonly replyTimeoutMs?: number;
  /** Connects again when a connection is lost; `{}` for the defaults. Not at all if left out. */
  readonly reconnect?: ReconnectOptions;
}

export interface RequestOptions {
  /**
   * Rejects the request with the signal's reason, at once. The server is not told: what it was asked to do, it may do. The
   * caller's memory is free again: a request with a signal works on a copy.
   */
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions extends RequestOptions {
  /** Durable before the promise resolves. Needs `canFua`. */
  readonly fua?: boolean;
}

export interface ZeroOptions extends WriteOptions {
  /** A hole will do; yes if left out. */
  readonly mayTrim?: boolean;
  /** Fail with ENOTSUP where it is no faster than writing. Needs `canFastZero`. */
  readonly fast?: boolean;
}

export interface StatusOptions extends RequestOptions {
  /** One extent is enough. */
  readonly one?: boolean;
}

/** Throws `bad-uri`, or a RangeError. */
export function establishOptions(target: string | NbdTarget, options: NbdClientOptions): EstablishOptions {
  const { address, name = "", tls } = typeof target === "string" ? parseUri(target) : target;
  const { timeoutMs = CONNECT_TIMEOUT_MS, signal, replies, metaContexts } = options;
  return { address, name, tls, timeoutMs: positive("timeoutMs", timeoutMs), signal, replies, contexts: metaContexts };
}

/** `value`, which must be a whole number from 1 on. */
export function positive(name: string, value: number): number {
  if (value < 1 || !Number.isSafeInteger(value)) throw new RangeError(`${name} is ${value}, and has to be 1 or more`);
  return value;
}
