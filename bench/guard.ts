/**
 * A guard as that of `skink serve --guard`, for fronts that are killed all the time: it never waits longer from one restart to the
 * next. guard.ts MARKS COMMAND…; writes the mark `noticed` into that file.
 */
import { Guard } from "../src/guard/guard.ts";
import { exitNow } from "../src/os/exit.ts";
import { writeMark } from "./marks.ts";

const [, , marks = "", ...command] = process.argv;
const guard = new Guard({
  command,
  steadyMs: 0,
  say: (line) => {
    writeMark(marks, "noticed");
    process.stderr.write(`${line}\n`);
  },
});
process.on("SIGTERM", () => guard.signal("SIGTERM"));
exitNow(await guard.run());
