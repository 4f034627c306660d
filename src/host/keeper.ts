import { closeSync } from "node:fs";
import { FIRST_KEPT_FD, type MadeFile } from "../link/control.ts";
import { findKept, keptFileName, keptTooLate } from "../link/keeping.ts";
import { createMemfd } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";

interface Region {
  readonly bytes: number;
  /** Of one that was made here, until it is handed over. */
  readonly fd: number | undefined;
  readonly memory: Uint8Array;
}

/** The regions of memory that a driver keeps: those it finds, and those it makes. */
export class Keeper {
  readonly #regions = new Map<string, Region>();
  #ended = false;

  /**
   * `found`: what earlier incarnations have kept, at the descriptors from FIRST_KEPT_FD on, which are closed. All of it is
   * mapped at once: the garbage collector runs when much external memory has come in, and should not in the midst of `open`.
   */
  constructor(found: readonly { readonly name: string; readonly bytes: number }[]) {
    for (const [index, { name, bytes }] of found.entries()) {
      const fd = FIRST_KEPT_FD + index;
      this.#regions.set(name, { bytes, fd: undefined, memory: map(fd, bytes) });
      closeSync(fd);
    }
  }

  /** See {@link DriverContext.keep}. */
  keep(name: string, bytes: number): Uint8Array {
    if (this.#ended) throw keptTooLate(name);
    return (findKept(this.#regions, name, bytes) ?? this.#make(name, bytes)).memory;
  }

  /** Nothing is kept any more. Returns what was made; the caller closes those descriptors. */
  end(): (MadeFile & { name: string })[] {
    this.#ended = true;
    return [...this.#regions].flatMap(([name, { fd, bytes }]) => (fd === undefined ? [] : [{ name, fd, bytes }]));
  }

  #make(name: string, bytes: number): Region {
    const fd = createMemfd(keptFileName(name), bytes);
    const region = { bytes, fd, memory: map(fd, bytes) };
    this.#regions.set(name, region);
    return region;
  }
}

function map(fd: number, bytes: number): Uint8Array {
  return new Uint8Array(mapShared(fd, bytes, "write").buffer);
}
