import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { syncFolder } from "./sync-folder.ts";

/** What a store may get wrong, for `skink crashes` to find. */
export type Mistake = "no directory sync" | "wrong order";

/** Where the newest value of a key stands in the file of values: start and length in bytes. */
type Place = readonly [start: number, length: number];

/**
 * A small key-value store in a folder: values are appended to one file, and an index of them is replaced as a whole.
 *
 *     values      value │ value │ value │ …       only ever appended to
 *     index       {"key": [start, length], …}     written as index.new, which is renamed then
 *
 * A value has to be durable before an index says where it is, the index before it gets its name, and the name before `put` returns.
 */
export class KeyValueStore {
  readonly #folder: string;
  readonly #mistake: Mistake | undefined;
  readonly #values: number;
  readonly #index: Map<string, Place>;

  constructor(folder: string, mistake?: Mistake) {
    this.#folder = folder;
    this.#mistake = mistake;
    this.#values = openSync(join(folder, "values"), "a+");
    this.#index = new Map(readIndex(join(folder, "index")));
    syncFolder(folder);
  }

  get(key: string): string | undefined {
    const place = this.#index.get(key);
    if (place === undefined) return undefined;
    const [start, length] = place;
    const bytes = Buffer.alloc(length);
    return bytes.toString("utf8", 0, readSync(this.#values, bytes, 0, length, start));
  }

  /** When it returns, the value is durable. */
  put(key: string, value: string): void {
    const bytes = Buffer.from(value);
    // Behind the last value that the index knows there may be one that a power cut has left without an index: it stays there.
    const { size } = fstatSync(this.#values);
    writeSync(this.#values, bytes);
    if (this.#mistake !== "wrong order") fsyncSync(this.#values);
    this.#index.set(key, [size, bytes.length]);
    this.#replaceIndex();
    if (this.#mistake === "wrong order") fsyncSync(this.#values);
  }

  close(): void {
    closeSync(this.#values);
  }

  #replaceIndex(): void {
    const path = join(this.#folder, "index.new");
    writeFileSync(path, JSON.stringify([...this.#index]), { flush: true });
    renameSync(path, join(this.#folder, "index"));
    if (this.#mistake !== "no directory sync") syncFolder(this.#folder);
  }
}

function readIndex(path: string): readonly [string, Place][] {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
}
