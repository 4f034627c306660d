import { spawnSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, statSync } from "node:fs";
import { basename } from "node:path";
import { SkinkError } from "../block/errors.ts";

/** Throws `bad-usage` for what is no name of a whole nbd device. */
export function checkDeviceName(act: string, device: string): void {
  if (/^\/dev\/nbd\d+$/.test(device)) return;
  throw new SkinkError(
    "bad-usage",
    `Cannot ${act}: ${device} is no nbd device, /dev/nbd0 or another number was wanted`,
  );
}

/** Loads the kernel's driver if need be. Throws `no-nbd` without one, `no-device`, or `wrong-state` if it is attached. */
export function needFreeDevice(act: string, device: string): void {
  if (!hasDriver()) {
    // Without the rights for it, or without modules at all, the next look says the same.
    spawnSync("modprobe", ["nbd"], { stdio: "ignore" });
  }
  if (!hasDriver()) {
    const wanted = "docs/attach.md has the way with nbdfuse and a loop device";
    throw new SkinkError("no-nbd", `Cannot ${act}: this kernel has no nbd driver, ${wanted}`);
  }
  needBlockDevice(act, device);
  if (!isAttached(device)) return;
  throw new SkinkError("wrong-state", `Cannot ${act}: ${device} is attached already, a free one was wanted`);
}

/** Throws `wrong-state` if the device isn't attached, or if somebody has mounted it or uses it exclusively. */
export function needUnusedDevice(act: string, device: string): void {
  needAttachedDevice(act, device);
  if (isUsed(device)) {
    const wanted = "that nothing on it is mounted was wanted (or --force)";
    throw new SkinkError("wrong-state", `Cannot ${act}: it is in use, ${wanted}`);
  }
}

/** Throws `wrong-state` if the device isn't attached. */
export function needAttachedDevice(act: string, device: string): void {
  if (!isAttached(device)) {
    throw new SkinkError("wrong-state", `Cannot ${act}: it is not attached, a device that is was wanted`);
  }
}

/** Also where the driver is no module but a part of the kernel. */
function hasDriver(): boolean {
  return existsSync("/sys/module/nbd");
}

function needBlockDevice(act: string, device: string): void {
  const found = statSync(device, { throwIfNoEntry: false });
  if (found?.isBlockDevice() === true) return;
  const what = found === undefined ? `there is no ${device}` : `${device} is no block device`;
  throw new SkinkError("no-device", `Cannot ${act}: ${what}, one of the kernel's, from /dev/nbd0 on, was wanted`);
}

/** The driver names there who attached it, for as long as it is. */
function isAttached(device: string): boolean {
  return existsSync(`/sys/block/${basename(device)}/pid`);
}

/** The kernel gives a block device exclusively to one only: mounts, RAID and the like have it so. */
function isUsed(device: string): boolean {
  try {
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL));
    return false;
  } catch (error) {
    // Whatever else is the matter, nbd-client finds it, too, and says so.
    return (error as NodeJS.ErrnoException).code === "EBUSY";
  }
}
