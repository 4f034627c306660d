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

function range(offset: number, length: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(offset), BigInt(length)]).buffer);
}
