import { resolve } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { nearest } from "../block/nearest.ts";
import { parseSize } from "../block/size.ts";

/** Where a device's shadow lives. `bytes`: of the log, which is made if there is none. */
export type HomeSpec =
  | { readonly kind: "memory" }
  | { readonly kind: "shm" }
  | { readonly kind: "disk"; readonly path: string; readonly bytes: number | undefined };

const KINDS = ["memory", "shm", "disk"];
const WANTED = "memory, shm or disk:PATH was wanted";

/**
 * Reads the home of a shadow:
 *
 *   memory   shm   disk:disk.log   disk:/dev/vg/log   disk:disk.log?size=512M
 *
 * Relative paths start at the folder `base`. Throws `bad-home`.
 */
export function parseHome(text: string, base: string = process.cwd()): HomeSpec {
  const [, kind = "", rest] = /^([^:?]*)(?::(.*))?$/s.exec(text) ?? [];
  switch (kind) {
    case "memory":
    case "shm":
      if (rest !== undefined) throw badHome(text, `${kind} takes nothing, ${kind} alone was wanted`);
      return { kind };
    case "disk":
      return disk(text, rest ?? "", base);
    default: {
      const meant = nearest(kind, KINDS);
      throw badHome(text, `there is no such home, ${meant === undefined ? WANTED : `was ${meant} meant?`}`);
    }
  }
}

/** In a word, for people. `undefined`: the default. */
export function describeHome(home: HomeSpec | undefined): string {
  return home?.kind === "disk" ? `disk:${home.path}` : (home?.kind ?? "memory");
}

function disk(text: string, rest: string, base: string): HomeSpec {
  const [, path = "", query] = /^([^?]*)(?:\?(.*))?$/s.exec(rest) ?? [];
  if (path === "" || path.includes("\0")) throw badHome(text, "its path is missing, disk:PATH was wanted");
  const size = /^size=(.*)$/s.exec(query ?? "")?.[1];
  if (query !== undefined && size === undefined) throw badHome(text, `it has ${query}, size=BYTES was wanted`);
  return { kind: "disk", path: resolve(base, path), bytes: size === undefined ? undefined : bytesOf(text, size) };
}

function bytesOf(text: string, size: string): number {
  try {
    return parseSize(size);
  } catch {
    throw badHome(text, `its size is ${JSON.stringify(size)}, a size such as 256M was wanted`);
  }
}

function badHome(text: string, what: string): SkinkError {
  return new SkinkError("bad-home", `Cannot keep the shadow in ${JSON.stringify(text)}: ${what}`);
}
