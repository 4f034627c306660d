import { closeSync, ftruncateSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { parseSize } from "../block/size.ts";
import { type DeviceSpec, parseSpec } from "../front/spec.ts";

/** What stands in a spec, in a value or a command, for what is made anew for each trial: a folder, a file of zeroes in it. */
export const FOLDER_PLACE = "{dir}";
export const DISK_PLACE = "{disk}";
/** Of that file, where the spec says nothing else. Bytes: more than a load uses. */
const DISK_BYTES = 8 << 20;

/**
 * What a trial's device is made of: the spec as it was given, with a store of its own below `folder`, which exists. That of `file:` is
 * a sparse file in place of the one that is named, which is never touched; memory is a new one by nature; for all others it is
 * what the spec puts in FOLDER_PLACE and DISK_PLACE. Throws `bad-spec`, also where the store would be somebody else's.
 */
export function placeSpec(text: string, folder: string): DeviceSpec {
  const spec = parseSpec(text);
  const { kind, source } = spec;
  if (source.type === "server") {
    const what = "it is a server that somebody else runs, and each trial needs a store of its own";
    throw new SkinkError("bad-spec", `Cannot torture ${text}: ${what}: exec:COMMAND or a driver was wanted`);
  }
  const place = new Place(folder);
  if (source.type === "command") return { kind, source: { ...source, command: place.fill(source.command) } };
  const options = Object.fromEntries(Object.entries(source.options).map(([key, value]) => [key, place.fill(value)]));
  if (kind === "file") options.path = place.disk(options.size);
  return { kind, source: { ...source, options } };
}

/** Whether each trial has a store of its own whatever the spec says. */
export function isAlwaysFresh({ kind, source }: DeviceSpec): boolean {
  return source.type === "module" && ["memory", "file", "null"].includes(kind);
}

/** Makes what is asked for, once. */
class Place {
  readonly #folder: string;
  #disk: string | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  fill(text: string): string {
    if (!text.includes(FOLDER_PLACE) && !text.includes(DISK_PLACE)) return text;
    const filled = text.replaceAll(FOLDER_PLACE, () => this.#dir());
    return filled.includes(DISK_PLACE) ? filled.replaceAll(DISK_PLACE, this.disk()) : filled;
  }

  #dir(): string {
    const dir = join(this.#folder, "dir");
    mkdirSync(dir, { recursive: true });
    return dir;
  }

  disk(size?: string): string {
    if (this.#disk !== undefined) return this.#disk;
    const path = join(this.#folder, "disk");
    const fd = openSync(path, "wx");
    try {
      ftruncateSync(fd, size === undefined ? DISK_BYTES : parseSize(size));
    } finally {
      closeSync(fd);
    }
    this.#disk = path;
    return path;
  }
}
