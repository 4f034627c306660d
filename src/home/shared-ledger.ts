import { closeSync, fchmodSync, fstatSync } from "node:fs";
import type { KeptMemory } from "../block/memory.ts";
import { addSeals, createMemfd, getSeals, SEAL_SEAL, SEALED_SIZE } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";
import type { Home, Remains } from "../shadow/home.ts";
import { Cells } from "./shm/cells.ts";
import { damaged } from "./shm/format.ts";
import { checkShmHome, createShmHome, ledgerBytes, takeUpShmHome } from "./shm/shm-home.ts";

/** The home `shm` of a device, with its ledger in memory that can outlive this process. */
export interface SharedHome {
  readonly home: Home;
  /** For who keeps it, with the memory of writes. No driver host may have it. */
  readonly ledgerFd: number;
  /** Gives the ledger back, as far as this process has it. Nothing may be told to the home afterwards. */
  close(): void;
}

/** Begins a ledger for `memory`, in which nothing lies yet. `pieces`: how many the shadow may hold. */
export function createSharedHome(memory: KeptMemory, pieces: number): SharedHome {
  const bytes = ledgerBytes(pieces);
  const ledgerFd = createMemfd("skink-ledger", bytes);
  fchmodSync(ledgerFd, 0o444);
  addSeals(ledgerFd, SEAL_SEAL);
  const { buffer, unmap } = mapShared(ledgerFd, bytes, "write");
  return { home: createShmHome(new Cells(buffer), memory, pieces), ledgerFd, close: () => end(ledgerFd, unmap) };
}

/**
 * Takes up what a dead front has left: its ledger, and with `memory` the writes that go with it. The descriptor is the home's
 * from now on, unless this throws. For what it throws, and what must be waited for afterwards, see {@link takeUpShmHome}.
 */
export function takeUpSharedHome(
  ledgerFd: number,
  memory: KeptMemory,
  pieces: number,
): SharedHome & { readonly remains: Remains } {
  if ((getSeals(ledgerFd) & SEALED_SIZE) !== SEALED_SIZE)
    throw damaged("the size of the ledger is not sealed, as it must be");
  const { buffer, unmap } = mapShared(ledgerFd, fstatSync(ledgerFd).size, "write");
  try {
    const { home, remains } = takeUpShmHome(new Cells(buffer), memory, pieces);
    return { home, remains, ledgerFd, close: () => end(ledgerFd, unmap) };
  } catch (error) {
    unmap();
    throw error;
  }
}

/** Throws what `takeUpSharedHome` would, as far as can be seen while the other front still serves: versions and limits. */
export function checkSharedHome(ledgerFd: number, memory: KeptMemory, pieces: number): void {
  if ((getSeals(ledgerFd) & SEALED_SIZE) !== SEALED_SIZE)
    throw damaged("the size of the ledger is not sealed, as it must be");
  const { buffer, unmap } = mapShared(ledgerFd, fstatSync(ledgerFd).size, "read");
  try {
    checkShmHome(new Cells(buffer), memory, pieces);
  } finally {
    unmap();
  }
}

function end(ledgerFd: number, unmap: () => void): void {
  unmap();
  closeSync(ledgerFd);
}
