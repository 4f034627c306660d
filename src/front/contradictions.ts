import { SkinkError } from "../block/errors.ts";
import { DEFAULT_POLICY, type Policy } from "../supervisor/policy.ts";
import type { LinkKind } from "./device-config.ts";
import type { HomeSpec } from "./home-spec.ts";
import type { DeviceSpec } from "./spec.ts";

/** Of a device's configuration, what has to go together. */
interface Settings {
  readonly spec: DeviceSpec;
  readonly link?: LinkKind;
  readonly standby?: boolean;
  readonly verify?: "digests";
  readonly home?: HomeSpec;
  readonly retains?: boolean;
  readonly fallback?: DeviceSpec;
  readonly policy?: Partial<Policy>;
}

type Figure = { [Key in keyof Policy]: Policy[Key] extends number ? Key : never }[keyof Policy];

export interface Contradiction {
  /** What it is about, from the device on: ["policy", "poison"]. */
  readonly key: readonly string[];
  /** "it is …, … was wanted" */
  readonly what: string;
}

/** What is right by itself and makes no sense together. */
export function contradictions(settings: Settings): Contradiction[] {
  const { spec, link, standby, verify, fallback, home, retains = true } = settings;
  const found: Contradiction[] = [];
  const add = (key: readonly string[], what: string): void => void found.push({ key, what });
  const isServer = spec.source.type !== "module";
  if (isServer && link !== undefined) {
    add(["link"], `it is ${link} beside ${spec.kind}, an NBD server, no link was wanted`);
  }
  if (standby && isServer) {
    add(["standby"], `it is beside ${spec.kind}, an NBD server, a driver in a host of its own was wanted`);
  }
  if (standby && link === "inline") add(["standby"], "it is beside link inline, link process was wanted");

  if (verify !== undefined && spec.kind === "null") {
    add(["verify"], `it is ${verify} beside null, which stores nothing, off was wanted`);
  }

  if (!retains && home !== undefined && home.kind !== "memory") {
    add(["home"], `it is ${home.kind} beside a shadow that is off, memory was wanted`);
  }

  const policy = { ...DEFAULT_POLICY, ...settings.policy };
  if (policy.poison === "fallback" && fallback === undefined) {
    add(["policy", "poison"], "it is fallback and the device has none, a fallback or error was wanted");
  }
  const drivers = fallback === undefined ? [spec] : [spec, fallback];
  for (const figure of ["maxResidentBytes", "maxOpenFiles", "maxLagMs"] as const) {
    if (policy[figure] === 0) continue;
    const obstacles = drivers.map((driver) => obstacleTo(figure, driver, link));
    // One of them that can be measured is reason enough to say how.
    const [first] = obstacles;
    if (obstacles.includes(undefined) || first === undefined) continue;
    add(["policy", figure], `it is ${policy[figure]} beside ${first}, 0 was wanted`);
  }
  const atLeast = (key: Figure, floor: Figure): void => {
    const wanted = `at least ${floor}, which is ${policy[floor]}, was wanted`;
    if (policy[key] < policy[floor]) add(["policy", key], `it is ${policy[key]}, ${wanted}`);
  };
  atLeast("deadlineCeilingMs", "deadlockFloorMs");
  atLeast("deadlineCeilingMs", "stuckFloorMs");
  atLeast("maxRestartDelayMs", "restartDelayMs");
  return found;
}

/** Why a limit would do nothing for a driver; `undefined` where it does what it says. */
function obstacleTo(figure: Figure, { kind, source }: DeviceSpec, link: LinkKind | undefined): string | undefined {
  switch (source.type) {
    case "module":
      return link === "inline" ? "link inline, where the process is the front's own" : undefined;
    case "command":
      return figure === "maxLagMs" ? `${kind}, whose event loop nobody can ask` : undefined;
    case "server":
      return `${kind}, whose process is not Skink's`;
  }
}

/** Throws `bad-device` with the first contradiction. `name`: of the device. */
export function checkContradictions(name: string, settings: Settings): void {
  const [first] = contradictions(settings);
  if (first === undefined) return;
  throw new SkinkError("bad-device", `Cannot serve ${name}: ${first.key.join(".")}: ${first.what}`);
}
