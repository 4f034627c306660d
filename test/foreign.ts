import { chmodSync } from "node:fs";
import { NbdClient } from "../src/nbd/index.ts";
import type { Scene } from "./scene.ts";
import type { Front } from "./serve.ts";

/** Of the disks that `newDisk` and `plugin` make. */
export const DISK_BYTES = 4 << 20;

/** A pwrite of nbdkit's sh plugin: $3 bytes from stdin to $4. */
export const WRITE = "dd of=$disk bs=64K iflag=fullblock oflag=seek_bytes seek=$4 conv=notrunc status=none";

/** A script for nbdkit's sh plugin: a disk in a file, with such a pwrite. */
export function plugin(scene: Scene, disk: string, pwrite: string): string {
  const script = [
    "#!/bin/sh",
    "case $1 in",
    `  get_size) echo ${DISK_BYTES};;`,
    "  can_write|can_flush) exit 0;;",
    "  can_fua) echo native;;",
    "  flush) ;;",
    `  pread) dd if=${disk} bs=64K iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none;;`,
    `  pwrite) ${pwrite.replaceAll("$disk", disk)};;`,
    "  *) exit 2;;",
    "esac",
  ].join("\n");
  const path = scene.write("plugin", script);
  chmodSync(path, 0o755);
  return path;
}

/** A file of zeroes. */
export function newDisk(scene: Scene): string {
  return scene.write("disk.img", new Uint8Array(DISK_BYTES));
}

/** A client of its first device, for as long as the scene lasts. */
export async function clientOf(scene: Scene, front: Front): Promise<NbdClient> {
  const client = await NbdClient.connect(front.uri);
  scene.defer(() => client.destroy());
  return client;
}
