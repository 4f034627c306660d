import { SkinkError } from "../block/errors.ts";

export function interrupted(): SkinkError {
  return new SkinkError("interrupted", "Cannot finish: a signal came, time to go on was wanted");
}
