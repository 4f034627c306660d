import { readFileSync, realpathSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Strikes } from "./strikes.ts";

/** A global function: changed code calls it just before it comes to what was changed. */
export const REACHED = "skinkReached";

/**
 * From now on this process loads the code at the path `changed` where `file`, a URL, is to be loaded. The first time that what
 * was changed is reached is marked.
 */
export function loadChanged(file: string, changed: string, strikes: Strikes): void {
  // What is loaded has its name without symbolic links.
  const place = pathToFileURL(realpathSync(fileURLToPath(file))).href;
  let hasStruck = false;
  Object.assign(globalThis, {
    [REACHED]() {
      if (!hasStruck) strikes.claim(1);
      hasStruck = true;
    },
  });
  registerHooks({
    load: (url, context, next) =>
      url === place
        ? { format: "module", source: readFileSync(changed, "utf8"), shortCircuit: true }
        : next(url, context),
  });
}
