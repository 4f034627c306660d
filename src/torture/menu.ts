import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { DeviceSpec } from "../front/spec.ts";
import type { Menu } from "./draw.ts";
import { drawMutant } from "./mutation/mutants.ts";
import { sourcesOf } from "./mutation/sources.ts";
import { type Fault, PROCESS_KINDS, type ProcessKind, type Tier, WIRE_KINDS, type WireKind } from "./plan.ts";
import { isSeizure } from "./tamper/seizures.ts";
import { tamperedSpec } from "./tamper/tamper.ts";

/** What takes more than one device, which a target that stands alone hasn't got. */
const OF_MANY: readonly ProcessKind[] = ["kill-all"];

/**
 * What can be done to a target. `bare`: it stands alone, and nothing but its process can be reached. `folder`: for what comes of trying.
 * The source is read only where the tier is wanted. Throws where it can't be parsed.
 */
export function menuOf(spec: DeviceSpec, wanted: readonly Tier[], bare: boolean, folder: string): Menu {
  const can = (fault: Fault): boolean => !bare && tamperedSpec(spec, { fault }, folder) !== undefined;
  const isProcess = (kind: ProcessKind): boolean =>
    isSeizure(kind)
      ? can({ tier: "process", kind, persistence: "transient", afterMs: 0, strikes: 1, lastsMs: 0 })
      : !(bare && OF_MANY.includes(kind));
  const isWire = (kind: WireKind): boolean => can({ tier: "wire", kind, persistence: "transient", nth: 1 });
  const menu = { wire: WIRE_KINDS.filter(isWire), process: PROCESS_KINDS.filter(isProcess) };
  const code = wanted.includes("code") ? codeOf(spec) : undefined;
  return code === undefined ? menu : { ...menu, code };
}

function codeOf({ source }: DeviceSpec): Menu["code"] {
  if (source.type !== "module" || !existsSync(fileURLToPath(source.module))) return undefined;
  const sources = sourcesOf(source.module);
  return (random) => drawMutant(sources, random);
}
