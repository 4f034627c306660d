import { InlineIncarnations } from "../link/inline.ts";
import { NbdIncarnations } from "../link/nbd/nbd.ts";
import { ProcessIncarnations } from "../link/process.ts";
import { type ArenaLimits, type Arenas, createHeapArenas, createSharedArenas } from "../link/shared-arenas.ts";
import type { IncarnationEvents } from "../shadow/ports.ts";
import type { DeviceConfig } from "./served-device.ts";

/** What runs the driver of a device, and the memory that it has in common with the front. */
export interface DriverRuns {
  readonly incarnations: ProcessIncarnations | InlineIncarnations | NbdIncarnations;
  readonly memory: Arenas;
  /** Only once nothing refers to the memory any more, and `incarnations` is disposed of. */
  freeMemory(): void;
}

/** Nothing runs yet. `output`: takes a line that a driver printed. */
export function driverRuns(
  { spec: { kind, source }, link, readOnly = false }: DeviceConfig,
  limits: ArenaLimits,
  events: IncarnationEvents,
  output: (line: string) => void,
): DriverRuns {
  if (source.type === "module" && link !== "inline") {
    const memory = createSharedArenas(limits);
    const driver = { ...source, name: kind };
    const incarnations = new ProcessIncarnations({ driver, memory, events, output });
    return { incarnations, memory, freeMemory: () => memory.close() };
  }
  const memory = createHeapArenas(limits);
  const incarnations =
    source.type === "module"
      ? new InlineIncarnations({ driver: { ...source, name: kind }, memory, events, output })
      : new NbdIncarnations({ source, wantsWrites: !readOnly, memory, events, output });
  return { incarnations, memory, freeMemory: () => {} };
}
