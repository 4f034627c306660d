import { strict as assert } from "node:assert";
import { createHash, randomBytes, randomInt } from "node:crypto";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Killer } from "./killer.ts";
import { loopDevicesOn, mountsIn } from "./leftovers.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, ended, inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";
import { until, within } from "./until.ts";

const WANTED_KILLS = 20;
/** Time enough for the largest flush. */
const KILL_AFTER_LIVE_MS = 100;
const NEXT_KILL_TIMEOUT_MS = 10_000;
const MAX_FILE_BYTES = 128 << 10;
/** The tree grows with the kills, not with the speed of the machine. */
const FILES_PER_KILL = 12;
/** Every so many files one is synced: the disk's flushes then come between its writes. */
const FILES_PER_SYNC = 8;
const FILES_PER_FOLDER = 16;
const FUSE_TIMEOUT_MS = 10_000;

const needs = peer("root", "fuse", "loop", "nbdfuse", "fusermount3", "mkfs.ext4", "e2fsck");

test("ext4 survives killed drivers: a clean file system with every file intact", { skip: needs }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=256M`);
    const killer = new Killer(front, KILL_AFTER_LIVE_MS);
    const hashes = new Map<string, string>();
    await onLoopDevice(scene, front.uri, async (device) => {
      await scene.need("mkfs.ext4", ["-q", device]);
      await mounted(scene, device, [], async (root) => {
        for (let kills = 0; kills < WANTED_KILLS; kills++) {
          for (let count = 0; count < FILES_PER_KILL; count++) await addFile(root, hashes);
          await until("the next kill", NEXT_KILL_TIMEOUT_MS, () => (killer.kills > kills ? true : undefined));
        }
      });
    });
    // Everything is taken apart and put together again, so that no cache of the kernel's answers for the disk.
    await onLoopDevice(scene, front.uri, async (device) => {
      await scene.need("e2fsck", ["-fn", device]);
      await mounted(scene, device, ["-o", "ro"], async (root) => {
        for (const [name, hash] of hashes) assert.equal(hashOf(await readFile(join(root, name))), hash, name);
      });
    });
    await killer.stop();

    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }),
);

/** Shows the disk at `uri` as a loop device, for as long as `use` takes. */
async function onLoopDevice(scene: Scene, uri: string, use: (device: string) => Promise<void>): Promise<void> {
  const folder = scene.path("fuse");
  await mkdir(folder, { recursive: true });
  const fuse = scene.spawn("nbdfuse", [join(folder, "disk"), uri]);
  const fuseEnded = ended(fuse);
  await until("the fuse mount", FUSE_TIMEOUT_MS, () => (mountsIn(folder).length > 0 ? true : undefined));
  try {
    const device = (await scene.need("losetup", ["--find", "--show", join(folder, "disk")])).trim();
    try {
      await use(device);
    } finally {
      await scene.need("losetup", ["--detach", device]);
      // The kernel detaches when the last user has closed it.
      await until("the loop device to go", FUSE_TIMEOUT_MS, () =>
        loopDevicesOn(folder).length === 0 ? true : undefined,
      );
    }
  } finally {
    await scene.need("fusermount3", ["-u", folder]);
    await within("nbdfuse to end", FUSE_TIMEOUT_MS, fuseEnded);
  }
}

async function mounted(
  scene: Scene,
  device: string,
  options: readonly string[],
  use: (root: string) => Promise<void>,
): Promise<void> {
  const root = scene.path("root");
  await mkdir(root, { recursive: true });
  await scene.need("mount", ["-t", "ext4", ...options, device, root]);
  try {
    await use(root);
  } finally {
    await scene.need("umount", [root]);
  }
}

async function addFile(root: string, hashes: Map<string, string>): Promise<void> {
  const number = hashes.size;
  const folder = `folder-${Math.floor(number / FILES_PER_FOLDER)}`;
  const name = join(folder, `file-${number}`);
  const contents = randomBytes(randomInt(MAX_FILE_BYTES));
  await mkdir(join(root, folder), { recursive: true });
  const file = await open(join(root, name), "wx");
  try {
    await file.writeFile(contents);
    if (number % FILES_PER_SYNC === 0) await file.sync();
  } finally {
    await file.close();
  }
  hashes.set(name, hashOf(contents));
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
