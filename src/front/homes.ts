import {
  type ArenaLimits,
  type Arenas,
  createHeapArenas,
  createSharedArenas,
  type SharedArenas,
} from "../link/shared-arenas.ts";
import type { Home, Remains } from "../shadow/home.ts";
import type { LinkKind } from "./served-device.ts";

/** A device's memory, and where its shadow lives. */
export interface OpenHome {
  readonly memory: Arenas | SharedArenas;
  /** The front's memory alone if left out. */
  readonly home?: Home;
  /** What a front before this one has left in it. */
  readonly remains?: Remains;
  /** Gives all of it back. Nothing may touch a payload afterwards. `clean`: the store has everything, so that nothing need remain. */
  close(clean: boolean): Promise<void>;
}

export interface HomeOrder {
  readonly link: LinkKind | undefined;
  readonly limits: ArenaLimits;
}

/** Opens the home of a device, and finds what remains in it. */
export async function openHome({ link, limits }: HomeOrder): Promise<OpenHome> {
  if (link === "inline") {
    // A driver in this process that was given up goes on: what it may still write to must never be unmapped.
    return { memory: createHeapArenas(limits), async close() {} };
  }
  const memory = createSharedArenas(limits);
  return {
    memory,
    async close(clean) {
      if (clean) memory.close();
    },
  };
}
