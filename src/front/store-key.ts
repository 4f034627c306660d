import { createHash } from "node:crypto";
import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { NbdSource } from "../link/nbd/source.ts";
import { type Address, formatUri, type Target } from "../nbd/uri.ts";
import type { DeviceSpec, ModuleSource } from "./spec.ts";

/** As many as Linux follows itself. */
const MAX_LINKS = 40;
/** Hexadecimal digits. */
const NAME_CHARS = 16;
/** Stores that end with their front, if they are any. */
const PRIVATE_KINDS = ["memory", "null"];
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]", "::1"];

/**
 * The names of the store that a driver works on, NAME_CHARS hexadecimal digits each: whoever works on the same store has one of
 * them in common. Each has to be locked before the next one is asked for: what a file is called says who may make it, and once
 * it is there its inode says more. `undefined`: there is no such name.
 *
 *   file:            the path, without symbolic links; the inode, or the device number of a block device, as its identity
 *   a module         the module and its options
 *   exec:            the command and the folder in which it runs
 *   nbd:             the address and the export
 */
export function storeNames({ kind, source }: DeviceSpec): (() => string | undefined)[] {
  if (kind === "file" && source.type === "module") {
    const path = resolve(source.options.path ?? "");
    return [() => nameOf("path", placeOf(path)), () => inodeName(path)];
  }
  return [() => nameOf(source.type, keyOf(source))];
}

/** The name of a store by what its driver, of whichever kind, has called it when it opened. */
export function identityName(identity: string): string {
  return nameOf("identity", identity);
}

/** Whether fronts that serve the same spec serve stores of their own. */
export function isPrivate({ kind, source }: DeviceSpec): boolean {
  return source.type === "module" && PRIVATE_KINDS.includes(kind);
}

/** Of a driver of ours: whether it is told to write nothing. */
export function opensReadOnly({ kind, source }: DeviceSpec): boolean {
  return kind === "file" && source.type === "module" && ["", "true"].includes(source.options.readonly ?? "false");
}

/** Whether two paths lead to one file, whether it is there or is yet to be made. */
export function isSamePlace(one: string, other: string): boolean {
  return one === other || placeOf(resolve(one)) === placeOf(resolve(other));
}

/** The store in a line, for people: "file:/srv/disk.img". */
export function describeStore({ kind, source }: DeviceSpec): string {
  switch (source.type) {
    case "module": {
      if (kind === "file") return `file:${source.options.path}`;
      const options = Object.entries(source.options).map(([key, value]) => `${key}=${value}`);
      return options.length === 0 ? kind : `${kind}?${options.join("&")}`;
    }
    case "command":
      return `exec:${source.command}`;
    case "server":
      return formatUri(plain(source.target));
  }
}

function keyOf(source: ModuleSource | NbdSource): unknown {
  switch (source.type) {
    case "module":
      return [realPath(fileURLToPath(source.module)), Object.entries(source.options).sort()];
    case "command":
      return [source.command, realPath(source.folder), source.name];
    case "server":
      return [addressOf(source.target.address), source.target.name];
  }
}

/** Which server it is, however one gets there. */
function addressOf(address: Address): readonly unknown[] {
  if (!("path" in address)) {
    const host = address.host.toLowerCase();
    return [LOOPBACK.includes(host) ? LOOPBACK[0] : host, address.port];
  }
  return [address.path.startsWith("\0") ? address.path : placeOf(resolve(address.path))];
}

/** Without how to do TLS: its file names are nobody's business. */
function plain({ address, name }: Target): Target {
  return { address, name };
}

/** The file's path without symbolic links, whether it is there or is yet to be made. */
function placeOf(path: string, links = 0): string {
  const folder = realPath(dirname(path));
  const place = join(folder, basename(path));
  let target: string;
  try {
    if (links === MAX_LINKS || !lstatSync(place).isSymbolicLink()) return place;
    target = readlinkSync(place);
  } catch {
    return place;
  }
  return placeOf(resolve(folder, target), links + 1);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function inodeName(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isBlockDevice()) return identityName(`device:${stat.rdev}`);
  return stat?.isFile() ? identityName(`file:${stat.dev}:${stat.ino}`) : undefined;
}

function nameOf(kind: string, key: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify([kind, key]))
    .digest("hex")
    .slice(0, NAME_CHARS);
}
