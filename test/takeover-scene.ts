import { strict as assert } from "node:assert";
import { watch } from "node:fs";
import { Load } from "./load.ts";
import type { Ended, Scene } from "./scene.ts";
import { type Front, serve, startServing } from "./serve.ts";
import { within } from "./until.ts";

/** A front is there again at once, or never. */
const RECONNECT = { reconnect: { attempts: Number.POSITIVE_INFINITY, delayMs: 5, maxDelayMs: 100 } };
const END_TIMEOUT_MS = 20_000;

/** Clients that reconnect, and know what each sector may hold. */
export function reconnectingLoad(scene: Scene, uri: string, seed: number): Promise<Load> {
  return Load.start(scene, uri, seed, { client: RECONNECT });
}

/** No request has failed, none was wrong, and all that was acknowledged is there. */
export async function checkAll(load: Load): Promise<void> {
  await load.stop();
  await load.readAll();
  await load.close();
}

export interface TakeoverOptions {
  /** Of the new one, beside --take-over. */
  readonly args?: readonly string[];
  readonly devices?: number;
  readonly ownListener?: boolean;
}

/** Starts a front that takes over from `old`, which has to end well. */
export async function takeOver(scene: Scene, old: Front, spec: string, options: TakeoverOptions = {}): Promise<Front> {
  const { args = [], ...others } = options;
  const next = await serve(scene, spec, { ...others, args: ["--take-over", ...args] });
  const { code, stderr } = await within("the old front to end", END_TIMEOUT_MS, old.ended);
  assert.equal(code, 0, `the old front ended with ${code}: ${stderr}`);
  // Each of its lives has said so.
  assert.deepEqual(next.ready, old.ready.slice(-next.ready.length));
  return next;
}

/** Starts one that may not come to it. */
export function startTakeOver(scene: Scene, spec: string, args: readonly string[] = []): Front {
  return startServing(scene, spec, { args: ["--take-over", ...args] });
}

/** Runs one that is to fail, to its end. */
export async function failTakeOver(scene: Scene, spec: string, args: readonly string[] = []): Promise<Ended> {
  return await within("the new front to fail", END_TIMEOUT_MS, startTakeOver(scene, spec, args).ended);
}

/** What happens to the entry `name` of the scene's folder from now on. */
export function watchFile(scene: Scene, name: string): { readonly changes: readonly string[] } {
  const changes: string[] = [];
  const watcher = watch(scene.folder, (event, changed) => {
    if (changed === name) changes.push(event);
  });
  scene.defer(() => watcher.close());
  return { changes };
}
