import type { NbdClient } from "./client.ts";
import { positive } from "./options.ts";

const DEFAULT_CHUNK_BYTES = 1 << 20;
const DEFAULT_DEPTH = 4;

export interface BulkOptions {
  /** Bytes of one request; 1 MiB if left out. */
  readonly chunkBytes?: number;
  /** Requests that are made ahead; 4 if left out. */
  readonly depth?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Reads a range in order, some requests ahead of whoever takes the chunks. */
export async function* readChunks(
  client: NbdClient,
  offset: number,
  length: number,
  options: BulkOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const { chunkBytes, depth, signal } = settings(options);
  const ahead: Promise<Buffer>[] = [];
  const end = offset + length;
  for (let at = offset; at < end || ahead.length > 0; ) {
    while (at < end && ahead.length < depth) {
      const chunk = readChunk(client, at, Math.min(chunkBytes, end - at), signal);
      // Whoever stops early, or fails at one chunk, doesn't ask after the others.
      chunk.catch(() => {});
      ahead.push(chunk);
      at += chunkBytes;
    }
    yield (await ahead.shift()) as Buffer;
  }
}

async function readChunk(
  client: NbdClient,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const { buffer } = await client.read(offset, length, { signal });
  return Buffer.from(buffer);
}

/**
 * Writes what `source` gives, in order and without gaps, some requests ahead of their replies. It is gathered into chunks, so
 * that its pieces may have any length, and are free again at once. Resolves with the bytes written. At the first failure
 * nothing more is taken, and this rejects when the writes that were made have ended.
 */
export async function writeChunks(
  client: NbdClient,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  offset: number,
  options: BulkOptions,
): Promise<number> {
  const { chunkBytes, depth, signal } = settings(options);
  const writes = new WritesAhead(depth);
  let chunk = Buffer.allocUnsafeSlow(chunkBytes);
  let used = 0;
  let at = offset;
  const write = async (): Promise<void> => {
    const data = chunk.subarray(0, used);
    await writes.add(client.write(at, data, { signal }));
    at += used;
    used = 0;
    chunk = Buffer.allocUnsafeSlow(chunkBytes);
  };
  try {
    for await (const piece of source) {
      for (let taken = 0; taken < piece.length; ) {
        const count = Math.min(piece.length - taken, chunkBytes - used);
        chunk.set(piece.subarray(taken, taken + count), used);
        used += count;
        taken += count;
        if (used === chunkBytes) await write();
      }
    }
    if (used > 0) await write();
  } finally {
    await writes.end();
  }
  writes.throwFailure();
  return at - offset;
}

function settings({ chunkBytes = DEFAULT_CHUNK_BYTES, depth = DEFAULT_DEPTH, signal }: BulkOptions) {
  return { chunkBytes: positive("chunkBytes", chunkBytes), depth: positive("depth", depth), signal };
}

/** Writes without a reply, a bounded number of them. */
class WritesAhead {
  readonly #depth: number;
  readonly #writing = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(depth: number) {
    this.#depth = depth;
  }

  /** Resolves when there is room for another one. Rejects if one has failed. */
  async add(write: Promise<void>): Promise<void> {
    const tracked = write
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#writing.delete(tracked);
      });
    this.#writing.add(tracked);
    while (this.#writing.size >= this.#depth) await Promise.race(this.#writing);
    this.throwFailure();
  }

  /** Resolves when all have ended, well or not. */
  async end(): Promise<void> {
    await Promise.all(this.#writing);
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
