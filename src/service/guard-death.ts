import { constants } from "node:os";
import { SkinkError } from "../block/errors.ts";
import { dieWithParent } from "../os/parent-death.ts";

/**
 * How a front learns that its guard is dead. It may come several times, once for each thread of the guard that the front is passed on to
 * while the guard dies, so it is none of those of which a second one means more than the first.
 */
export const GUARD_DEATH_SIGNAL = "SIGPWR";
/** Where a guard tells the front its process id. */
export const GUARD_VARIABLE = "SKINK_GUARD";

/**
 * Has this front told to stop when the guard that started it, if one did, dies: there is nobody then who would start it again.
 * Returns the guard's process id. Throws `no-guard` where it has died already.
 */
export function stopWithGuard(environment: NodeJS.ProcessEnv): number | undefined {
  const guard = environment[GUARD_VARIABLE];
  delete environment[GUARD_VARIABLE];
  if (guard === undefined) return undefined;
  if (dieWithParent(constants.signals[GUARD_DEATH_SIGNAL]) === Number(guard)) return Number(guard);
  throw new SkinkError("no-guard", `Cannot serve under guard ${guard}: it is gone, a living one was wanted`);
}
