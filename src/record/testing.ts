import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogSink } from "./log-file.ts";
import { LogWritesReader } from "./log-reader.ts";

/** What a sink was asked to do. */
type Deed = { readonly bytes: Uint8Array; readonly position: number } | { readonly extendTo: number };

/** A log in memory. While it is held, writes wait for `proceed`; it remembers each step, so that it can be cut off after any. */
export class MemorySink implements LogSink {
  readonly deeds: Deed[] = [];
  closed = false;
  /** What a write or an extension fails with from now on. */
  failure: Error | undefined;
  #held: (() => void)[] | undefined;

  hold(): void {
    this.#held ??= [];
  }

  /** Lets everything that waits go on, and what comes. */
  proceed(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const go of held) go();
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    await this.#turn();
    this.deeds.push({ bytes: Buffer.from(bytes), position });
  }

  async extend(bytes: number): Promise<void> {
    await this.#turn();
    this.deeds.push({ extendTo: bytes });
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** The file as it is after the first so many deeds. */
  contents(deeds = this.deeds.length): Buffer {
    const done = this.deeds.slice(0, deeds);
    const ends = done.map((deed) => ("extendTo" in deed ? deed.extendTo : deed.position + deed.bytes.length));
    const file = Buffer.alloc(Math.max(0, ...ends));
    for (const deed of done) if ("bytes" in deed) file.set(deed.bytes, deed.position);
    return file;
  }

  async #turn(): Promise<void> {
    const held = this.#held;
    if (held !== undefined) await new Promise<void>((go) => held.push(go));
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Writes bytes to a file for as long as `body` takes. */
export function withLog<Result>(bytes: Uint8Array, body: (path: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "skink-test-"));
  try {
    const path = join(folder, "log");
    writeFileSync(path, bytes);
    return body(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** One line for each entry of a log that is whole: "write 0+1024 (2)", with the byte that its data consists of. */
export function linesOf(bytes: Uint8Array): string[] {
  return withLog(bytes, (path) => {
    const log = LogWritesReader.open(path);
    try {
      assert.equal(log.cutOff, undefined);
      return log.entries.map((entry) => {
        const { mark, flush, fua, discard, offset, length, hasData } = entry;
        if (mark !== undefined) return `mark ${mark}`;
        if (flush) return "flush";
        if (!hasData) return `trim ${offset}+${length}`;
        const data = Buffer.alloc(Math.min(length, 4096));
        log.data(entry, data);
        assert.ok(data.every((byte) => byte === data[0]));
        assert.equal(discard, false);
        return `write${fua ? " fua" : ""} ${offset}+${length} (${data[0]})`;
      });
    } finally {
      log.close();
    }
  });
}
