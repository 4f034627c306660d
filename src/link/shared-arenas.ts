import { closeSync } from "node:fs";
import { addSeals, createMemfd, SEAL_FUTURE_WRITE, SEAL_SEAL } from "../os/memfd.ts";
import { type Mapping, mapShared } from "../os/mmap.ts";
import { Arena, type ArenaLayout, arenaLayout } from "./arena.ts";

/** Bytes of payloads. Rounded up; see MIN_ARENA_BYTES. */
export interface ArenaLimits {
  readonly writeBytes: number;
  readonly readBytes: number;
}

/** The memory of one device for drivers in the same process. */
export interface Arenas {
  readonly writes: Arena;
  readonly reads: Arena;
}

/** The memory of one device, as it is shared with driver hosts. */
export interface SharedArenas extends Arenas {
  /** Sealed: nobody can map it writable any more, or resize it. */
  readonly writesFd: number;
  readonly readsFd: number;
  /** Gives the memory back. Nothing may touch a payload afterwards. */
  close(): void;
}

export function createSharedArenas(limits: ArenaLimits): SharedArenas {
  const writes = shareArena("skink-writes", arenaLayout(limits.writeBytes));
  const reads = shareArena("skink-reads", arenaLayout(limits.readBytes));
  // The front's own mapping is made, and stays writable.
  addSeals(writes.fd, SEAL_FUTURE_WRITE | SEAL_SEAL);
  addSeals(reads.fd, SEAL_SEAL);
  return {
    writes: writes.arena,
    reads: reads.arena,
    writesFd: writes.fd,
    readsFd: reads.fd,
    close() {
      for (const { fd, mapping } of [writes, reads]) {
        mapping.unmap();
        closeSync(fd);
      }
    },
  };
}

export function createHeapArenas(limits: ArenaLimits): Arenas {
  const make = (layout: ArenaLayout) => new Arena(layout, new Uint8Array(layout.totalBytes));
  return { writes: make(arenaLayout(limits.writeBytes)), reads: make(arenaLayout(limits.readBytes)) };
}

function shareArena(name: string, layout: ArenaLayout): { arena: Arena; fd: number; mapping: Mapping } {
  const fd = createMemfd(name, layout.totalBytes);
  const mapping = mapShared(fd, layout.totalBytes, "write");
  return { arena: new Arena(layout, new Uint8Array(mapping.buffer)), fd, mapping };
}
