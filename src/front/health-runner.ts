/**
 * Runs a health check that is a module, in a process of its own, and ends: exit code 0 where all is well, 1 with what is
 * wrong on stderr, 126 where there is nothing to be run. Its argument is {"module":URL,"context":{…}}.
 */
import { writeSync } from "node:fs";
import { oneLine } from "../link/opening.ts";
import { resolvePackageForAll } from "../link/package-resolution.ts";
import { exitNow } from "../os/exit.ts";
import type { HealthContext } from "./health-check.ts";

const EXIT_SICK = 1;
const EXIT_UNUSABLE = 126;

const { module, context } = JSON.parse(process.argv[2] as string) as {
  readonly module: string;
  readonly context: HealthContext;
};

// For a client of its own.
resolvePackageForAll();

// Keeps a check alive that waits for what never comes: it is late, then, and not ended for lack of anything to do.
setInterval(() => {}, 1 << 30);
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error: unknown) => end(EXIT_SICK, oneLine(error)));
}
const check = await load();
try {
  await check(context);
} catch (error) {
  end(EXIT_SICK, oneLine(error));
}
end(0, undefined);

async function load(): Promise<(context: HealthContext) => unknown> {
  try {
    const { default: found } = (await import(module)) as { readonly default?: unknown };
    if (typeof found === "function") return found as (context: HealthContext) => unknown;
    return end(EXIT_UNUSABLE, `${module} has no function as its default export`);
  } catch (error) {
    return end(EXIT_UNUSABLE, oneLine(error));
  }
}

/** At once: connections that the check has left open would keep the process. */
function end(code: number, message: string | undefined): never {
  if (message !== undefined) writeSync(2, `${message}\n`);
  exitNow(code);
}
