import { closeSync } from "node:fs";
import {
  FIRST_KEPT_FD,
  MAX_KEPT_BYTES,
  MAX_KEPT_NAME_CHARS,
  MAX_KEPT_REGIONS,
  type MadeFile,
} from "../link/control.ts";
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
    if (this.#ended) throw invalid(`Cannot keep ${name}: open has ended, a call from inside it was wanted`);
    if (typeof name !== "string" || name.length > MAX_KEPT_NAME_CHARS)
      throw invalid(
        `Cannot keep ${String(name).slice(0, 20)}: a name of up to ${MAX_KEPT_NAME_CHARS} characters was wanted`,
      );
    const region = this.#regions.get(name) ?? this.#make(name, bytes);
    if (region.bytes !== bytes)
      throw invalid(`Cannot keep ${name}: there are ${region.bytes} bytes of it, ${bytes} were wanted`);
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
    if (!Number.isSafeInteger(bytes) || bytes <= 0)
      throw invalid(`Cannot keep ${name}: ${bytes} bytes, a positive number was wanted`);
    let total = bytes;
    for (const region of this.#regions.values()) total += region.bytes;
    if (this.#regions.size === MAX_KEPT_REGIONS || total > MAX_KEPT_BYTES)
      throw Object.assign(
        new Error(`Cannot keep ${name}: at most ${MAX_KEPT_REGIONS} regions and ${MAX_KEPT_BYTES} bytes may be kept`),
        { code: "ENOMEM" },
      );
    const region = { bytes, fd: createMemfd(`skink-kept-${name.slice(0, 64)}`, bytes), made: true, memory: undefined };
    this.#regions.set(name, region);
    return region;
  }
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: "EINVAL" });
}
