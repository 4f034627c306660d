import { SkinkError } from "../block/errors.ts";

/** `soFar`: how far it came, for people. */
export function interrupted(soFar?: string): SkinkError {
  const when = soFar === undefined ? "" : ` (${soFar})`;
  return new SkinkError("interrupted", `Cannot finish: a signal came, time to go on was wanted${when}`);
}
