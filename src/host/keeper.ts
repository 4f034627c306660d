import { closeSync } from "node:fs";
import { FIRST_KEPT_FD, type MadeFile } from "../link/control.ts";
import { findKept, keptTooLate } from "../link/keeping.ts";
import { createMemfd } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";

interface Region {
  readonly bytes: number;
  readonly fd: number;
  readonly made: boolean;
  memory: Uint8Array | undefined;
}

/** The regions of memory that a driver keeps: those it finds, and those it makes. */
export class Keeper {
  readonly #regions = new Map<string, Region>();
  #ended = false;

  /** `found`: what earlier incarnations have kept, at the descriptors from FIRST_KEPT_FD on. */
  constructor(found: readonly { readonly name: string; readonly bytes: number }[]) {
    for (const [index, { name, bytes }] of found.entries())
      this.#regions.set(name, { bytes, fd: FIRST_KEPT_FD + index, made: false, memory: undefined });
  }

  /** See {@link DriverContext.keep}. */
  keep(name: string, bytes: number): Uint8Array {
    if (this.#ended) throw keptTooLate(name);
    const region = findKept(this.#regions, name, bytes) ?? this.#make(name, bytes);
    region.memory ??= new Uint8Array(mapShared(region.fd, bytes, "write").buffer);
    return region.memory;
  }

  /** Nothing is kept any more. Returns what was made; the caller closes those descriptors. */
  end(): (MadeFile & { name: string })[] {
    this.#ended = true;
    const made: (MadeFile & { name: string })[] = [];
    for (const [name, { fd, bytes, made: isNew }] of this.#regions) {
      if (isNew) made.push({ name, fd, bytes });
      else closeSync(fd);
    }
    return made;
  }

  #make(name: string, bytes: number): Region {
    const region = { bytes, fd: createMemfd(`skink-kept-${name.slice(0, 64)}`, bytes), made: true, memory: undefined };
    this.#regions.set(name, region);
    return region;
  }
}
