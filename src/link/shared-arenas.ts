import { closeSync, fchmodSync, fstatSync, openSync } from "node:fs";
import { SkinkError } from "../block/errors.ts";
import { addSeals, createMemfd, getSeals, SEAL_FUTURE_WRITE, SEAL_SEAL, SEALED_SIZE } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";
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
  /** For the hosts, which can't map it writable: see {@link createSharedArenas} and {@link createKeptArenas}. */
  readonly writesFd: number;
  readonly readsFd: number;
  /** Gives the memory back. Nothing may touch a payload afterwards. */
  close(): void;
}

/** The same, with writes that outlive the front. */
export interface KeptArenas extends SharedArenas {
  /** For who keeps the memory of writes, and for the front after this one. No driver host may have it. */
  readonly keptFd: number;
}

interface SharedArena {
  readonly arena: Arena;
  /** The front's own. */
  readonly fd: number;
  unmap(): void;
}

/** Memory that goes with the front. That of writes is sealed: nobody can map it writable any more. */
export function createSharedArenas(limits: ArenaLimits): SharedArenas {
  const writes = createArena("skink-writes", limits.writeBytes);
  // The front's own mapping is made, and stays writable.
  addSeals(writes.fd, SEAL_FUTURE_WRITE | SEAL_SEAL);
  return share(writes, writes.fd, limits);
}

/**
 * Memory whose writes outlive the front. `kept`: what a front before this one has left, which is the arenas' from now on, unless
 * this throws: a {@link SkinkError} if it isn't of these limits, or not sealed.
 *
 * The next front must be able to map the writes writable, which the seal of createSharedArenas would forbid: it knows no
 * exception. So what keeps the hosts from it (P5) is the descriptor that they get. It is opened anew, read-only; the kernel makes
 * no writable mapping of it, and none of it writable. The host closes it before the driver's code comes in, and to open the
 * memory once more by its name in /proc is refused by its mode, 0444. Left is what a driver does on purpose: change the mode, or
 * be root, and then open a descriptor of the front in /proc. Drivers are faulty rather than hostile; and such a one could as well
 * write to /proc/PID/mem.
 *
 * The other way would be to copy the pieces into new memory at each take-up, and seal that. It takes twice the memory, and the
 * time to copy; and two pairs of descriptors, of which one counts, would have to be changed for each other by who keeps them, at
 * any instant at which a front may die.
 *
 * The memory of reads is never kept: a host of the dead front may still write to it.
 */
export function createKeptArenas(limits: ArenaLimits, kept?: number): KeptArenas {
  const writes = kept === undefined ? createArena("skink-writes", limits.writeBytes) : takeUp(kept, limits.writeBytes);
  if (kept === undefined) {
    fchmodSync(writes.fd, 0o444);
    addSeals(writes.fd, SEAL_SEAL);
  }
  const readOnly = openSync(`/proc/self/fd/${writes.fd}`, "r");
  const arenas = share(writes, readOnly, limits);
  return {
    ...arenas,
    keptFd: writes.fd,
    close() {
      arenas.close();
      closeSync(readOnly);
    },
  };
}

export function createHeapArenas(limits: ArenaLimits): Arenas {
  const make = (layout: ArenaLayout) => new Arena(layout, new Uint8Array(layout.totalBytes));
  return { writes: make(arenaLayout(limits.writeBytes)), reads: make(arenaLayout(limits.readBytes)) };
}

function share(writes: SharedArena, writesFd: number, limits: ArenaLimits): SharedArenas {
  const reads = createArena("skink-reads", limits.readBytes);
  addSeals(reads.fd, SEAL_SEAL);
  return {
    writes: writes.arena,
    reads: reads.arena,
    writesFd,
    readsFd: reads.fd,
    close() {
      for (const { fd, unmap } of [writes, reads]) {
        unmap();
        closeSync(fd);
      }
    },
  };
}

function createArena(name: string, limitBytes: number): SharedArena {
  const layout = arenaLayout(limitBytes);
  return mapArena(createMemfd(name, layout.totalBytes), layout);
}

function takeUp(fd: number, limitBytes: number): SharedArena {
  const layout = arenaLayout(limitBytes);
  const { size } = fstatSync(fd);
  if (size !== layout.totalBytes)
    throw refused(`it has ${size} bytes, ${layout.totalBytes} are wanted by the limits of now`);
  const isSealed = (getSeals(fd) & (SEALED_SIZE | SEAL_FUTURE_WRITE)) === SEALED_SIZE;
  if (!isSealed) throw refused("its seals are others, those of its size and nothing else were wanted");
  return mapArena(fd, layout);
}

function refused(what: string): SkinkError {
  return new SkinkError("kept-memory", `Cannot take up the memory of writes that was kept: ${what}`);
}

function mapArena(fd: number, layout: ArenaLayout): SharedArena {
  const { buffer, unmap } = mapShared(fd, layout.totalBytes, "write");
  return { arena: new Arena(layout, new Uint8Array(buffer)), fd, unmap };
}
