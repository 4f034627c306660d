import fs from "node:fs/promises";
import { dirname } from "node:path";
import { SkinkError } from "../../block/errors.ts";
import { MIN_BLOCK_SIZE } from "../../block/geometry.ts";
import { formatSize } from "../../block/size.ts";
import { blockDeviceBlockSize, blockDeviceName, blockDeviceSize } from "../../os/block-device.ts";
import { lockExclusive } from "../../os/lock.ts";

export interface StoreOptions {
  readonly path: string;
  readonly size: number | undefined;
  readonly block: number | undefined;
  readonly readonly: boolean;
}

/** An open file or block device that nobody else has open for writing through here. */
export interface Store {
  readonly handle: fs.FileHandle;
  readonly isBlockDevice: boolean;
  /** Bytes; perhaps no whole number of blocks. */
  readonly size: number;
  readonly blockSize: number;
  /** The same for the same inode or device number. */
  readonly identity: string;
}

/**
 * Opens, locks, creates or extends the store. Its lock belongs to the open file, so it ends with the process that
 * holds it, and the next incarnation never waits. Throws store-missing, store-locked, store-size, store-kind, or the
 * system's own error.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { path } = options;
  const { handle, created } = await openOrCreate(options);
  try {
    if (!options.readonly && !lockExclusive(handle.fd)) {
      throw cannotOpen("store-locked", path, "somebody else holds its lock, an unused one was wanted");
    }
    const stat = await handle.stat();
    const isBlockDevice = stat.isBlockDevice();
    const found = isBlockDevice ? blockDeviceSize(handle.fd) : stat.size;
    const size = await fit(handle, found, isBlockDevice, options);
    if (size < MIN_BLOCK_SIZE) {
      throw cannotOpen("store-size", path, `it has ${size} bytes, ?size=… with at least ${MIN_BLOCK_SIZE} was wanted`);
    }
    // The name of a new file is as much in need of being durable as its contents.
    if (created) await syncFolder(path);
    const smallest = isBlockDevice ? blockDeviceBlockSize(handle.fd) : MIN_BLOCK_SIZE;
    const blockSize = options.block ?? smallest;
    if (blockSize < smallest) {
      throw cannotOpen("store-size", path, `block is ${blockSize}, at least the device's ${smallest} was wanted`);
    }
    // Without the number of the file system, which may be another one after the next boot.
    const identity = isBlockDevice
      ? `device:${blockDeviceName(stat.rdev)}`
      : `file:${stat.ino}:${Math.round(stat.birthtimeMs)}`;
    return { handle, isBlockDevice, size, blockSize, identity };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openOrCreate(options: StoreOptions): Promise<{ handle: fs.FileHandle; created: boolean }> {
  const { path, readonly } = options;
  const stat = await fs.stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw cannotOpen(error.code ?? "EIO", path, `${error.code}, a file or block device was wanted`);
  });
  if (stat === undefined) {
    if (readonly || options.size === undefined) {
      const mend = readonly ? "an existing file was wanted" : "an existing file, or ?size=… to create it, was wanted";
      throw cannotOpen("store-missing", path, `there is no such file, ${mend}`);
    }
  } else if (!stat.isFile() && !stat.isBlockDevice()) {
    const is = stat.isDirectory() ? "a folder" : "neither";
    throw cannotOpen("store-kind", path, `it is ${is}, a regular file or a block device was wanted`);
  }
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;
  // A block device opened with O_EXCL is refused to all who ask for the same, and to mounts.
  const exclusive = stat?.isBlockDevice() === true && !readonly ? O_EXCL : 0;
  const creating = stat === undefined ? O_CREAT : 0;
  try {
    const handle = await fs.open(path, (readonly ? O_RDONLY : O_RDWR) | exclusive | creating);
    return { handle, created: stat === undefined };
  } catch (error) {
    const { code = "EIO" } = error as NodeJS.ErrnoException;
    if (code === "EBUSY") throw cannotOpen("store-locked", path, "it is mounted or in use, an unused one was wanted");
    throw cannotOpen(code, path, `${code}, ${readonly ? "a readable" : "a readable and writable"} file was wanted`);
  }
}

/** Makes the store as large as `size` asks; it never gets smaller, which would throw data away. */
async function fit(
  handle: fs.FileHandle,
  found: number,
  isBlockDevice: boolean,
  { path, size, readonly }: StoreOptions,
): Promise<number> {
  if (size === undefined || size === found) return found;
  if (isBlockDevice || readonly) {
    throw cannotOpen("store-size", path, `its size is ${formatSize(found)}, size=${formatSize(size)} was wanted`);
  }
  if (found > size) {
    const mend = "nothing larger was wanted: leave size out, or cut the file yourself";
    throw cannotOpen("store-size", path, `its size is ${formatSize(found)}, over size=${formatSize(size)}; ${mend}`);
  }
  await handle.truncate(size);
  await handle.sync();
  return size;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await fs.open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function cannotOpen(code: string, path: string, what: string): SkinkError {
  return new SkinkError(code, `Cannot open ${path}: ${what}`);
}
