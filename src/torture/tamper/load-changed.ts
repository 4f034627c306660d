import { readFileSync, realpathSync } from "node:fs";
import { registerHooks, syncBuiltinESMExports } from "node:module";
import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import threads, { type WorkerOptions } from "node:worker_threads";
import { Strikes } from "./strikes.ts";

/** A global function: changed code calls it just before it comes to what was changed. */
export const REACHED = "skinkReached";

/** A module, and the code that takes its place. Goes through JSON unchanged. */
export interface ChangedModule {
  /** A URL. */
  readonly file: string;
  /** A path. */
  readonly changed: string;
  /** For {@link Strikes}. */
  readonly folder: string;
}

/**
 * From now on this process loads the code at the path `changed` where `file` is to be loaded, also in threads that are begun later. The
 * first time that what was changed is reached is marked.
 */
export function loadChanged(module: ChangedModule): void {
  const { file, changed, folder } = module;
  // What is loaded has its name without symbolic links.
  const place = pathToFileURL(realpathSync(fileURLToPath(file))).href;
  const strikes = new Strikes(folder);
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
  preloadInThreads(module);
}

/** Hooks are one thread's alone: each thread that begins loads changed-thread.ts before all else, which sets them up again. */
function preloadInThreads(module: ChangedModule): void {
  const preload = new URL(`./changed-thread${extname(import.meta.url)}`, import.meta.url);
  preload.searchParams.set("module", JSON.stringify(module));
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(file: string | URL, options: WorkerOptions = {}) {
      super(file, { ...options, execArgv: [...(options.execArgv ?? []), "--import", preload.href] });
    }
  };
  syncBuiltinESMExports();
}
