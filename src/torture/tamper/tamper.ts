import { writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { shellWord } from "../../block/shell-word.ts";
import type { DeviceSpec } from "../../front/spec.ts";
import type { CommandSource } from "../../link/nbd/source.ts";
import { SOCKET_PLACE } from "../../link/nbd/source.ts";
import type { Fault, WireFault } from "../plan.ts";
import { changedCode } from "./changed-code.ts";
import { type DriverOrders, encodeArgument, TAMPER_OPTION } from "./orders.ts";
import { isSeizure } from "./seizures.ts";

/** What a tampered device is to do wrong. */
export interface TamperOrders {
  readonly fault: Fault;
}

/**
 * The same device, with a driver that carries out the orders. `folder` exists, and is this trial's alone: the strikes are marked
 * there, for {@link Strikes.of}. `kill`, `kill-all` and `stop` come from outside, so that the spec stays as it is.
 *
 * `undefined` where such a fault can't be had: of a foreign server there are only those of the wire, and none of one that
 * somebody else runs. Throws where the file that the fault is in can't be read, or becomes something that is no module.
 */
export function tamperedSpec(spec: DeviceSpec, { fault }: TamperOrders, folder: string): DeviceSpec | undefined {
  const { kind, source } = spec;
  if (fault.tier === "process" && !isSeizure(fault.kind)) return spec;
  switch (source.type) {
    case "module": {
      const changed = join(folder, "changed.js");
      if (fault.tier === "code") writeFileSync(changed, changedCode(fault));
      const orders: DriverOrders = { fault, module: source.module, folder, changed };
      const options = { ...source.options, [TAMPER_OPTION]: JSON.stringify(orders) };
      return { kind, source: { ...source, module: beside("tampered-driver"), options } };
    }
    case "command":
      return fault.tier === "wire" ? { kind, source: relayed(source, fault, folder) } : undefined;
    case "server":
      return undefined;
  }
}

function relayed(source: CommandSource, fault: WireFault, folder: string): CommandSource {
  const orders = encodeArgument({ fault, command: source.command, folder });
  const program = [process.execPath, fileURLToPath(beside("relay"))].map(shellWord).join(" ");
  return { ...source, command: `exec ${program} ${orders} ${SOCKET_PLACE}` };
}

/** A file URL: source files in a checkout (.ts), built ones in the package (.js). */
function beside(name: string): string {
  return new URL(`./${name}${extname(import.meta.url)}`, import.meta.url).href;
}
