import { strict as assert } from "node:assert";
import { createHash, randomBytes, randomInt } from "node:crypto";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Killer } from "./killer.ts";
import { loopDevicesOn, mountsIn } from "./leftovers.ts";
import { type Peer, peer } from "./peers.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";
import { Shell } from "./shell.ts";
import { until } from "./until.ts";

const WANTED_KILLS = 20;
/** Time enough for the largest flush. */
const KILL_AFTER_LIVE_MS = 100;
const NEXT_KILL_TIMEOUT_MS = 10_000;
const WANTED_RESTARTS = 3;
const MAX_FILE_BYTES = 128 << 10;
/** The tree grows with the kills, not with the speed of the machine. */
const FILES_PER_KILL = 12;
/** Every so many files one is synced: the disk's flushes then come between its writes. */
const FILES_PER_SYNC = 8;
const FILES_PER_FOLDER = 16;

const PEERS: readonly Peer[] = ["root", "fuse", "loop", "nbdfuse", "fusermount3", "mkfs.ext4", "e2fsck"];
const needs = peer(...PEERS);
const needsNbdkit = peer(...PEERS, "nbdkit");

test("ext4, attached as docs/attach.md says, survives killed drivers: clean, every file intact", { skip: needs }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=256M`);
    const disk = new Disk(scene, front.uri);
    const tree = new Tree(disk.root);
    const killer = new Killer(front, KILL_AFTER_LIVE_MS);
    await disk.run("settings", "attach", "format", "mount");
    for (let kills = 0; kills < WANTED_KILLS; kills++) {
      for (let count = 0; count < FILES_PER_KILL; count++) await tree.add(count % FILES_PER_SYNC === 0);
      await until("the next kill", NEXT_KILL_TIMEOUT_MS, () => (killer.kills > kills ? true : undefined));
    }
    await disk.run("detach");
    // Everything has been taken apart and is put together again, so that no cache of the kernel's answers for the disk.
    await disk.run("attach", "check", "mount");
    await tree.verify();
    await disk.run("detach");
    await disk.close();
    await killer.stop();

    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }),
);

test(
  "ext4 behind nbdkit's retry filter, as docs/attach.md says, survives restarts of the front",
  { skip: needsNbdkit },
  () =>
    inScene(async (scene) => {
      const spec = `file:${scene.path("disk.img")}?size=64M`;
      const args = ["--name", "disk"];
      let front = await serve(scene, spec, { args });
      const disk = new Disk(scene, front.uri);
      const tree = new Tree(disk.root);
      await disk.run("settings", "attach-with-retry", "format", "mount");
      for (let restarts = 0; restarts < WANTED_RESTARTS; restarts++) {
        await tree.add(false);
        await front.stop();
        // Begun while there is no front, so it can't end before there is one.
        const written = tree.add(true);
        front = await serve(scene, spec, { args });
        await written;
      }
      await disk.run("detach");
      await disk.run("attach", "check", "mount");
      await tree.verify();
      await disk.run("detach");
      await disk.close();
      await front.stop();
    }),
);

/** A device of the kernel by nbdfuse and a loop device: the scripts of docs/attach.md, with paths of the scene's. */
class Disk {
  /** Where it is mounted. */
  readonly root: string;
  readonly #shell: Shell;
  readonly #settings: Record<string, string>;

  constructor(scene: Scene, uri: string) {
    this.root = scene.path("root");
    this.#settings = { uri, fuse: scene.path("fuse"), root: this.root };
    this.#shell = new Shell(scene);
    scene.defer(() => takeApart(scene));
  }

  async run(...names: string[]): Promise<void> {
    for (const name of names) await this.#shell.run(name === "settings" ? this.#ownSettings() : script(name));
  }

  async close(): Promise<void> {
    await this.#shell.close();
  }

  #ownSettings(): string {
    return Object.entries(this.#settings).reduce((text, [name, value]) => {
      const setting = new RegExp(`\\b${name}=\\S+`);
      assert.match(text, setting);
      return text.replace(setting, () => `${name}='${value}'`);
    }, script("settings"));
  }
}

/** What the page calls by this name: ```sh name. */
function script(name: string): string {
  const [, text] = PAGE.match(new RegExp(`^\`\`\`sh ${name}\n(.*?)^\`\`\`$`, "ms")) ?? [];
  assert.ok(text !== undefined, `docs/attach.md has no script ${name}`);
  return text;
}

const PAGE = await readFile(new URL("../docs/attach.md", import.meta.url), "utf8");

/** However far it has come. What is still there after that is a failure of the scene. */
async function takeApart(scene: Scene): Promise<void> {
  const mounts = mountsIn(scene.folder);
  for (const point of mounts.filter((point) => point === scene.path("root"))) await scene.run("umount", [point]);
  for (const device of loopDevicesOn(scene.folder)) await scene.run("losetup", ["--detach", device]);
  for (const point of mounts.filter((point) => point === scene.path("fuse"))) {
    await scene.run("fusermount3", ["-uz", point]);
  }
}

/** Files with random contents, and what they have to be. */
class Tree {
  readonly #root: string;
  readonly #hashes = new Map<string, string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** `synced`: it is on the disk when this settles. */
  async add(synced: boolean): Promise<void> {
    const number = this.#hashes.size;
    const folder = `folder-${Math.floor(number / FILES_PER_FOLDER)}`;
    const name = join(folder, `file-${number}`);
    const contents = randomBytes(randomInt(MAX_FILE_BYTES));
    this.#hashes.set(name, hashOf(contents));
    await mkdir(join(this.#root, folder), { recursive: true });
    const file = await open(join(this.#root, name), "wx");
    try {
      await file.writeFile(contents);
      if (synced) await file.sync();
    } finally {
      await file.close();
    }
  }

  async verify(): Promise<void> {
    for (const [name, hash] of this.#hashes) {
      assert.equal(hashOf(await readFile(join(this.#root, name))), hash, name);
    }
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
