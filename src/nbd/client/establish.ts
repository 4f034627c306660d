import type { ConnectionOptions } from "node:tls";
import { loadClientTls } from "../tls/client-tls.ts";
import type { Address, TlsParameters } from "../uri.ts";
import { ALLOCATION_CONTEXT, type ReplyStyle } from "../wire/protocol.ts";
import type { Agreement } from "./agreement.ts";
import { disconnected } from "./errors.ts";
import { Haggle } from "./haggle.ts";
import { negotiate } from "./handshake.ts";
import { ClientStream } from "./stream.ts";

/** A connection on which an export has been chosen; its stream waits for whoever transmits on it. */
export interface Established {
  readonly stream: ClientStream;
  readonly agreement: Agreement;
}

/** A server, and how long it may take. */
export interface Approach {
  readonly address: Address;
  /** Encrypted there where it is; where it isn't, never. */
  readonly tls?: TlsParameters | undefined;
  /** From the attempt to connect to the end of the handshake. */
  readonly timeoutMs: number;
  /** Ends both; no business of the connection that comes of it. */
  readonly signal?: AbortSignal | undefined;
}

export interface EstablishOptions extends Approach {
  /** The export; empty for the default one. */
  readonly name: string;
  /** The contexts to select: base:allocation if left out. */
  readonly contexts?: readonly string[] | undefined;
  /** The best style of replies to ask for: extended if left out. */
  readonly replies?: ReplyStyle | undefined;
}

/**
 * Connects and haggles. Rejects with `cannot-connect`, `disconnected`, `bad-tls`, `bad-credentials`, `tls-failed`,
 * `tls-required`, `unknown-export`, `refused-export` or `bad-server`; with the signal's reason where that was it.
 */
export function establish(options: EstablishOptions): Promise<Established> {
  const { name, contexts = [ALLOCATION_CONTEXT], replies } = options;
  return approach(options, async (stream, tls) => {
    const agreement = await negotiate(stream, { name, contexts, replies, tls });
    stream.settled();
    return { stream, agreement };
  });
}

/** Connects for a few questions, and says goodbye. Rejects as `establish` does, and as `questions` do. */
export function inquire<Answer>(options: Approach, questions: (haggle: Haggle) => Promise<Answer>): Promise<Answer> {
  return approach(options, async (stream, tls) => {
    const haggle = await Haggle.begin(stream, tls);
    const answer = await questions(haggle);
    await haggle.abort();
    stream.destroy();
    return answer;
  });
}

async function approach<Result>(
  { address, tls, timeoutMs, signal }: Approach,
  talk: (stream: ClientStream, tls: ConnectionOptions | undefined) => Promise<Result>,
): Promise<Result> {
  signal?.throwIfAborted();
  // Before anybody is connected to: what is wrong with files is said at once.
  const credentials = tls === undefined ? undefined : loadClientTls(tls, address);
  let stream: ClientStream | undefined;
  try {
    stream = await ClientStream.open({ address, timeoutMs, signal, tls: tls !== undefined });
    return await talk(stream, credentials);
  } catch (error) {
    stream?.destroy();
    signal?.throwIfAborted();
    // A server that dies while it haggles may reset the connection.
    throw error instanceof Error && "syscall" in error ? disconnected(error.message, error) : error;
  }
}
