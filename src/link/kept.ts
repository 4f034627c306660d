import { closeSync, constants, fstatSync, openSync, readlinkSync } from "node:fs";
import { getSeals, SEALED_SIZE } from "../os/memfd.ts";
import type { MadeFile } from "./control.ts";
import { keptNameOf, MAX_KEPT_BYTES, MAX_KEPT_REGIONS } from "./keeping.ts";

/** A region of shared memory that outlives incarnations, held by its descriptor. */
export interface KeptFile {
  readonly name: string;
  readonly fd: number;
  readonly bytes: number;
}

/** Where regions outlive the front. */
export interface Shelf {
  /** Those that a front before this one has put there: descriptors, for as long as they are on the shelf. */
  take(): readonly number[];
  put(fd: number): void;
}

/** The regions that the incarnations of one device have kept. */
export class KeptRegions {
  readonly #files = new Map<string, KeptFile>();
  readonly #shelf: Shelf | undefined;

  /** `shelf`: none if they go with this front. */
  constructor(shelf: Shelf | undefined) {
    this.#shelf = shelf;
    for (const fd of shelf?.take() ?? []) {
      const name = keptNameOf(memoryName(`/proc/self/fd/${fd}`) ?? "");
      // What is none stays where it is: the shelf goes by the descriptor.
      if (name === undefined || this.#files.has(name) || !isSealed(fd)) continue;
      this.#files.set(name, { name, fd, bytes: fstatSync(fd).size });
    }
  }

  list(): readonly KeptFile[] {
    return [...this.#files.values()];
  }

  /** Takes over what host `pid` has made: all of it or, with an Error, nothing. */
  take(pid: number, made: readonly (MadeFile & { readonly name: string })[]): void {
    const taken: KeptFile[] = [];
    try {
      for (const { name, fd, bytes } of made) {
        if (this.#files.has(name)) throw new Error(`there is a region ${JSON.stringify(name)} already`);
        taken.push({ name, bytes, fd: takeFile(pid, { fd, bytes }) });
      }
      const all = [...this.#files.values(), ...taken];
      if (new Set(all.map(({ name }) => name)).size !== all.length) throw new Error("two regions have the same name");
      if (all.length > MAX_KEPT_REGIONS) throw new Error(`there are more than ${MAX_KEPT_REGIONS} regions`);
      if (all.reduce((sum, { bytes }) => sum + bytes, 0) > MAX_KEPT_BYTES)
        throw new Error(`the regions have more than ${MAX_KEPT_BYTES} bytes`);
    } catch (error) {
      for (const { fd } of taken) closeSync(fd);
      throw error;
    }
    for (const file of taken) {
      this.#files.set(file.name, file);
      this.#shelf?.put(file.fd);
    }
  }

  close(): void {
    for (const { fd } of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }
}

/** Opens a memory file of another process; it must be one, with its size sealed. The caller closes the descriptor. */
export function takeFile(pid: number, file: MadeFile): number {
  const path = `/proc/${pid}/fd/${file.fd}`;
  // Looked at first: merely opening a file of another kind may block, or do something.
  if (memoryName(path) === undefined) throw new Error(`descriptor ${file.fd} is no memory file`);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    if (!isSealed(fd)) throw new Error(`descriptor ${file.fd} can be resized`);
    const { size } = fstatSync(fd);
    if (size !== file.bytes) throw new Error(`descriptor ${file.fd} has ${size} bytes, ${file.bytes} were announced`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function isSealed(fd: number): boolean {
  return (getSeals(fd) & SEALED_SIZE) === SEALED_SIZE;
}

/** What the memory file at `path`, a descriptor in /proc, is called; `undefined` for a file of any other kind. */
function memoryName(path: string): string | undefined {
  return /^\/memfd:(.*) \(deleted\)$/s.exec(readlinkSync(path))?.[1];
}
