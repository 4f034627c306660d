/**
 * For `--import`: a log whose disk is broken, as long as there is a file with its path and ".broken" behind. Nothing is written to it,
 * and nothing gets durable.
 */
import fs from "node:fs";

const EIO = (): NodeJS.ErrnoException => Object.assign(new Error("EIO: i/o error"), { code: "EIO" });

function isBroken(fd: number): boolean {
  return fs.existsSync(`${fs.readlinkSync(`/proc/self/fd/${fd}`)}.broken`);
}

const { writev, fdatasync } = fs;

fs.writev = ((fd: number, buffers: readonly Uint8Array[], position: number, done: (error: Error | null) => void) =>
  isBroken(fd) ? setImmediate(done, EIO()) : writev(fd, buffers, position, done)) as typeof fs.writev;

fs.fdatasync = ((fd: number, done: (error: Error | null) => void) =>
  isBroken(fd) ? setImmediate(done, EIO()) : fdatasync(fd, done)) as typeof fs.fdatasync;
