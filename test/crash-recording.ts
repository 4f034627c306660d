/** Workloads of examples/crash, recorded: on a raw device, or in an ext4 on one, by nbdfuse and a loop device. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { WORKLOADS, type WorkloadName } from "../examples/crash/workloads.ts";
import { askFront } from "../src/front/control-client.ts";
import { loopDevicesOn, mountsIn } from "./leftovers.ts";
import type { Peer } from "./peers.ts";
import { ended, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until, within } from "./until.ts";

export const DISK_PEERS: readonly Peer[] = ["root", "fuse", "loop", "nbdfuse", "fusermount3", "mkfs.ext4", "e2fsck"];

const DISK = "disk";
const DISK_SIZE = "32M";
/** Blocks as on large disks, and nothing that the kernel would go on making when it is mounted. */
const MKFS = ["-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
const ATTACH_TIMEOUT_MS = 30_000;

/** The mark when all is made ready, and the one when the last step is done; between them "step 1" and so on. */
export const READY_MARK = "step 0";

/** What is recorded of a workload. */
export interface Recording {
  readonly log: string;
  /** The mark behind the last step; what follows is the end of the file system. */
  readonly doneMark: string;
}

export interface RecordOptions {
  /** Where the log goes; the scene's if left out. One that is there is replaced. */
  readonly folder?: string;
  /** Ends it between two steps. */
  readonly signal?: AbortSignal;
}

/** Runs a workload on a device of its own, with a mark for each step that it acknowledges. */
export async function record(scene: Scene, name: WorkloadName, options: RecordOptions = {}): Promise<Recording> {
  const { folder = scene.folder, signal } = options;
  const log = join(folder, `${name}.log`);
  const args = ["--name", DISK, "--log", log, "--force"];
  const front = await serve(scene, `memory:${DISK_SIZE}`, { command: "record", args });
  let doneMark = "";
  const mark = async (text: string): Promise<void> => {
    signal?.throwIfAborted();
    await askFront(front.control, { command: "mark", name: DISK, text });
  };
  const work = async (place: string): Promise<void> => {
    let steps = 0;
    await WORKLOADS[name].run(place, async (step) => {
      steps = step;
      await mark(`step ${step}`);
    });
    doneMark = `all ${steps} steps`;
    await mark(doneMark);
  };
  if (isRaw(name)) await work(front.uri);
  else await onExt4(scene, front, work);
  await front.stop();
  return { log, doneMark };
}

/** Whether it works on a disk as such, without a file system. */
export function isRaw(name: WorkloadName): boolean {
  return name.startsWith("raw-");
}

/** Makes an ext4 on the device, lets `work` have its folder, and unmounts it. */
async function onExt4(scene: Scene, front: Front, work: (root: string) => Promise<void>): Promise<void> {
  const file = scene.write("fuse", "");
  const ready = scene.path("fuse-ready");
  const root = scene.path("root");
  mkdirSync(root);
  scene.defer(() => takeApart(scene, file, root));
  const fuse = ended(scene.spawn("nbdfuse", ["-P", ready, file, front.uri]));
  await until("nbdfuse to be ready", ATTACH_TIMEOUT_MS, () => existsSync(ready) || undefined);
  await scene.need("mkfs.ext4", [...MKFS, file], ATTACH_TIMEOUT_MS);
  await scene.need("mount", ["-o", "loop", file, root], ATTACH_TIMEOUT_MS);
  await work(root);
  await scene.need("umount", [root], ATTACH_TIMEOUT_MS);
  await until("the file to be unmounted", ATTACH_TIMEOUT_MS, async () => {
    const { code } = await scene.run("fusermount3", ["-u", file]);
    return code === 0 || undefined;
  });
  await within("the end of nbdfuse", ATTACH_TIMEOUT_MS, fuse);
}

/** However far it has come. What is still there after that is a failure of the scene. */
async function takeApart(scene: Scene, file: string, root: string): Promise<void> {
  const mounts = mountsIn(scene.folder);
  if (mounts.includes(root)) await scene.run("umount", [root]);
  for (const device of loopDevicesOn(scene.folder)) await scene.run("losetup", ["--detach", device]);
  if (mounts.includes(file)) await scene.run("fusermount3", ["-uz", file]);
}
