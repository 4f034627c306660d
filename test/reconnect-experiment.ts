/**
 * What becomes of writes that were acknowledged and not yet flushed when something dies under a client that reconnects?
 *
 *     client    write ✓ …            flush ?        read ?     (the end)
 *     server               SIGKILL, restart                               image ?
 *
 * The protocol lets a server forget what no flush has covered, and a client can't see that the server behind its new
 * connection is another incarnation: its flush succeeds, and covers nothing.
 */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { guarded, type OutlivingHome } from "./reconnect-home.ts";
import { type Killed, killBehind } from "./reconnect-kill.ts";
import { type FlushOutcome, QemuIo, type QemuIoTarget } from "./reconnect-qemu-io.ts";
import { IMAGE_BYTES, type Store } from "./reconnect-stores.ts";
import { listens } from "./remote-server.ts";
import type { Scene } from "./scene.ts";
import { serve } from "./serve.ts";
import { until, within } from "./until.ts";

const LISTEN_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 20_000;
const EXPORT = "disk";
const SECTOR_BYTES = 512;

/** What the client talks to: the server itself, or Skink in front of it with that home. */
export type Via = "alone" | "memory" | OutlivingHome;

export interface Trial {
  readonly store: Store;
  readonly via: Via;
  readonly killed: Killed;
}

/** What came of a trial. `lost…`: bytes of acknowledged writes that were not found. */
export interface Finding {
  /** All writes were. */
  readonly acknowledged: boolean;
  readonly flush: FlushOutcome;
  /** By the client, after the flush. */
  readonly lostInSession: number;
  /** By nobody's help, after everything was stopped in order. */
  readonly lostInImage: number;
  /** Writes and reads that failed. */
  readonly errors: number;
  /** From the kill to the flush's answer. */
  readonly stallMs: number;
}

/** Offset and length in bytes, and the value of each of them. Some overlap, and some are small parts of larger ones. */
const WRITES: readonly (readonly [offset: number, length: number, value: number])[] = [
  [0, 64 << 10, 0xa1],
  [48 << 10, 32 << 10, 0xb2],
  [52 << 10, 4 << 10, 0xc3],
  [1 << 20, 16 << 10, 0xd4],
  [(1 << 20) + 3 * SECTOR_BYTES, SECTOR_BYTES, 0xe5],
  // Over the edge of a cluster of qcow2.
  [(2 << 20) - (4 << 10), 8 << 10, 0xf6],
];
/** What they cover. */
const WRITTEN: readonly (readonly [offset: number, length: number])[] = [
  [0, 80 << 10],
  [1 << 20, 16 << 10],
  [(2 << 20) - (4 << 10), 8 << 10],
];
export const WRITTEN_BYTES = WRITTEN.reduce((sum, [, length]) => sum + length, 0);

/** Nothing was lost, and nobody was told that something might be. */
export function keptEverything({ acknowledged, flush, lostInSession, lostInImage, errors }: Finding): boolean {
  return acknowledged && flush === "succeeded" && lostInSession === 0 && lostInImage === 0 && errors === 0;
}

/** Runs a trial on a fresh image, in a scene of its own. Rejects where something could not be started or stopped. */
export async function runTrial(scene: Scene, { store, via, killed }: Trial): Promise<Finding> {
  const image = await store.make(scene);
  const target = await (via === "alone" ? startAlone(scene, store, image) : startSkink(scene, { store, via, image }));
  const client = await QemuIo.open(scene, target);
  let acknowledged = true;
  for (const write of WRITES) acknowledged = (await client.write(...write)) && acknowledged;

  const killedAt = performance.now();
  await target.kill(killed);
  await client.flush();
  const stallMs = performance.now() - killedAt;

  const wanted = wantedImage();
  let lostInSession = 0;
  for (const [offset, length] of WRITTEN) {
    const found = await client.read(offset, length);
    lostInSession += found === undefined ? length : difference(found, wanted.subarray(offset, offset + length));
  }
  const flush = await client.close();
  await target.stop();
  const lostInImage = difference(await store.contents(scene, image), wanted);
  return { acknowledged, flush, lostInSession, lostInImage, errors: client.errors, stallMs };
}

interface Target extends QemuIoTarget {
  kill(killed: Killed): Promise<void>;
  /** In order. */
  stop(): Promise<void>;
}

async function startAlone(scene: Scene, store: Store, image: string): Promise<Target> {
  const socket = scene.path("server.sock");
  scene.defer(() => rmSync(socket, { force: true }));
  const start = async () => {
    // One that was killed has left it.
    rmSync(socket, { force: true });
    const child = scene.spawn("sh", ["-c", `exec ${store.command(image).replace("{socket}", socket)}`]);
    await until(`${store.name} to listen`, LISTEN_TIMEOUT_MS, async () => {
      assert.equal(child.exitCode, null, `${store.name} ended instead of serving`);
      return (await listens(socket)) ? true : undefined;
    });
    return child;
  };
  let child = await start();
  const end = async (signal: NodeJS.Signals) => {
    const exited = once(child, "exit");
    child.kill(signal);
    await within(`${store.name} to end by ${signal}`, STOP_TIMEOUT_MS, exited);
  };
  return {
    socket,
    name: "",
    async kill(killed) {
      assert.equal(killed, "server", "there is nothing else in front of it");
      await end("SIGKILL");
      child = await start();
    },
    stop: () => end("SIGTERM"),
  };
}

async function startSkink(
  scene: Scene,
  { store, via, image }: { readonly store: Store; readonly via: Exclude<Via, "alone">; readonly image: string },
): Promise<Target> {
  const args = ["--name", EXPORT, ...(via === "memory" ? [] : guarded(scene, via))];
  const front = await serve(scene, `exec:${store.command(image)}`, { args });
  return {
    socket: scene.path("nbd"),
    name: EXPORT,
    kill: (killed) => killBehind(front, killed),
    async stop() {
      await front.stop();
    },
  };
}

function wantedImage(): Uint8Array {
  const image = new Uint8Array(IMAGE_BYTES);
  for (const [offset, length, value] of WRITES) image.fill(value, offset, offset + length);
  return image;
}

/** In how many bytes. */
function difference(found: Uint8Array, wanted: Uint8Array): number {
  assert.equal(found.length, wanted.length);
  return found.reduce((count, byte, at) => count + (byte === wanted[at] ? 0 : 1), 0);
}
