import { explore } from "./choices.ts";
import { describeScript, type Step, scriptAt, scriptCount } from "./scripts.ts";
import { type Death, type HomeKind, type Play, play } from "./small-world.ts";

/** A kind of play: all but the script. */
export type Setting = Omit<Play, "script">;

/** Every setting that makes sense: nothing is left of home memory when its front dies. */
export const SETTINGS: readonly Setting[] = (["memory", "shm", "disk"] as const).flatMap((home: HomeKind) =>
  (["driver", "front", "power"] as const)
    .filter((death: Death) => home !== "memory" || death !== "front")
    .flatMap((death) =>
      [true, false].flatMap((able) =>
        (["one by one", "at once"] as const).map((pace) => ({ home, death, able, pace })),
      ),
    ),
);

export interface Part {
  readonly setting: Setting;
  /** Steps of each script. */
  readonly length: number;
  /** The first script's number, and on to the next one by so many. */
  readonly from: number;
  readonly stride: number;
}

export interface Survey {
  readonly scripts: number;
  readonly plays: number;
  /** Of the first that broke a promise: one line. */
  readonly failure: string | undefined;
}

/** Plays each script in each way that there is; ends with the first that breaks a promise. */
export function survey({ setting, length, from, stride }: Part): Survey {
  let scripts = 0;
  let plays = 0;
  for (let number = from; number < scriptCount(length); number += stride) {
    const script = scriptAt(length, number);
    // Nobody is offered what the driver hasn't.
    if (!setting.able && script.some(({ kind }) => kind === "trim")) continue;
    scripts++;
    const failure = failureOf(setting, script, () => plays++);
    if (failure !== undefined) return { scripts, plays, failure };
  }
  return { scripts, plays, failure: undefined };
}

export function describeSetting({ home, death, able, pace }: Setting): string {
  return `home ${home}, death of the ${death}, ${able ? "able" : "simple"} driver, ${pace}`;
}

function failureOf(setting: Setting, script: readonly Step[], played: () => void): string | undefined {
  let path: readonly number[] = [];
  try {
    explore((choices) => {
      played();
      try {
        play({ ...setting, script }, choices);
      } catch (error) {
        path = choices.path;
        throw error;
      }
    });
    return undefined;
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    return `${describeSetting(setting)}: ${describeScript(script)}, choices ${path.join("")}: ${what}`;
  }
}
