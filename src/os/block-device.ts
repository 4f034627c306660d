import { readFileSync } from "node:fs";
import { checked, libc } from "./libc.ts";

const BLKSSZGET = 0x1268;
const BLKDISCARD = 0x1277;
const BLKZEROOUT = 0x127f;
const BLKGETSIZE64 = 0x80081272;

const ioctl: (fd: number, request: number, argument: Uint8Array) => number = libc.func("ioctl", "int", [
  "int",
  "unsigned long",
  "void *",
]);

/** The size in bytes of the block device behind `fd`. */
export function blockDeviceSize(fd: number): number {
  const argument = new BigUint64Array(1);
  checked("ioctl(BLKGETSIZE64)", ioctl(fd, BLKGETSIZE64, new Uint8Array(argument.buffer)));
  return Number(argument[0]);
}

/** Its logical block size in bytes. */
export function blockDeviceBlockSize(fd: number): number {
  const argument = new Int32Array(1);
  checked("ioctl(BLKSSZGET)", ioctl(fd, BLKSSZGET, new Uint8Array(argument.buffer)));
  return argument[0] as number;
}

/** Discards the range: what it reads as afterwards is the device's business. Throws EOPNOTSUPP where it can't. */
export function discardBlocks(fd: number, offset: number, length: number): void {
  checked("ioctl(BLKDISCARD)", ioctl(fd, BLKDISCARD, range(offset, length)));
}

/** Zeroes the range, by whatever means the device has; may take as long as writing. */
export function zeroBlocks(fd: number, offset: number, length: number): void {
  checked("ioctl(BLKZEROOUT)", ioctl(fd, BLKZEROOUT, range(offset, length)));
}

/** Where the kernel has what a disk is called for good; the first one that is there. */
const LASTING_NAMES = ["dm/uuid", "md/uuid", "wwid", "uuid", "device/wwid", "serial"];

/**
 * What the block device of that number is called, whatever its number will be after the next boot: by its maker, or whoever made it.
 * The number itself where there is nothing of the kind, as for loop devices.
 */
export function blockDeviceName(rdev: number): string {
  const number = `${(rdev >>> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >>> 12) & 0xfff00)}`;
  const folder = `/sys/dev/block/${number}`;
  const partition = valueIn(folder, "partition");
  const disk = partition === undefined ? folder : `${folder}/..`;
  const name = LASTING_NAMES.map((file) => valueIn(disk, file)).find((found) => found !== undefined);
  if (name === undefined) return number;
  return partition === undefined ? name : `${name} part ${partition}`;
}

function valueIn(folder: string, file: string): string | undefined {
  try {
    return readFileSync(`${folder}/${file}`, "latin1").trim() || undefined;
  } catch {
    return undefined;
  }
}

function range(offset: number, length: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(offset), BigInt(length)]).buffer);
}
