import { isBlockSize } from "../block/geometry.ts";
import type { DriverInfo } from "../shadow/ports.ts";
import { isKeptName, MAX_KEPT_REGIONS } from "./keeping.ts";

/** Descriptors that a driver host inherits, after its stdio. Those of regions it is to keep follow the last. */
export const CONTROL_FD = 3;
export const DOORBELL_FD = 4;
export const BOOT_FD = 5;
export const CODE_FD = 6;
export const WRITES_FD = 7;
export const READS_FD = 8;
export const FRONT_RING_FD = 9;
export const HOST_RING_FD = 10;
export const FIRST_KEPT_FD = 11;

/** Bytes of one message. */
export const MAX_CONTROL_LINE_BYTES = 65536;
/** Bytes of JavaScript that one host may leave for the next. */
export const MAX_CODE_BYTES = 16 << 20;

/** What a host reads from BOOT_FD, as JSON. */
export interface BootParameters {
  readonly module: string;
  readonly options: Readonly<Record<string, string>>;
  readonly name: string;
  /** The process that must be the host's parent. */
  readonly parent: number;
  /** URL of the host's main module. */
  readonly main: string;
  /** Path of the foreign-function library's binary; "" has the library look for it. */
  readonly foreign: string;
  /** It will wait for its order, and has time to get ready for it. */
  readonly spare: boolean;
  /** Bytes in CODE_FD. */
  readonly codeBytes: number;
  /** What CODE_FD holds is what the driver is, whatever is on disk. */
  readonly pinned: boolean;
  readonly writeBytes: number;
  readonly readBytes: number;
  readonly depth: number;
  /** Regions kept by earlier incarnations, in the order of their descriptors. */
  readonly kept: readonly { readonly name: string; readonly bytes: number }[];
}

/** A sealed memory file that a host has made, by its descriptor there. */
export interface MadeFile {
  readonly fd: number;
  readonly bytes: number;
}

/** Why a host ends itself. */
export type DyingCause = "exception" | "rejection" | "close";

/** From the host to the front: JSON, a line each. */
export type HostMessage =
  /** The first one: the process that holds the host's memory, if it could make one. */
  | { readonly type: "holder"; readonly pid: number | undefined }
  /** The driver's module is loaded, its options are right: it waits for `open`. */
  | { readonly type: "ready" }
  /** Instead of opening: files of the driver have changed since they were loaded. It ends. */
  | { readonly type: "stale" }
  | {
      readonly type: "opened";
      readonly info: DriverInfo;
      readonly kept: readonly (MadeFile & { readonly name: string })[];
      /** JavaScript for the next host, if it differs from what this one was given. */
      readonly code: MadeFile | undefined;
    }
  /** It could not be loaded or opened, and ends. */
  | { readonly type: "openFailed"; readonly message: string }
  /** The last words of a host that ends itself. */
  | { readonly type: "dying"; readonly cause: DyingCause; readonly message: string };

/** From the front to the host. */
export type FrontMessage =
  /** `spare`: it was started before it was wanted, and looks first whether what it loaded is still what there is. */
  | { readonly type: "open"; readonly epoch: number; readonly spare: boolean }
  /** The front has its own descriptors of what the host made. Comes only where it made something, which then waits for it. */
  | { readonly type: "taken" }
  | { readonly type: "close" };

/** A line of a host, which may be faulty: undefined where it is no message. */
export function parseHostMessage(line: string): HostMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  switch (value.type) {
    case "holder": {
      const { pid } = value;
      if (pid !== undefined && !(typeof pid === "number" && Number.isInteger(pid) && pid > 1)) return undefined;
      return { type: value.type, pid };
    }
    case "ready":
    case "stale":
      return { type: value.type };
    case "opened": {
      const info = parseInfo(value.info);
      const kept = parseKept(value.kept);
      const code = value.code === undefined ? undefined : parseFile(value.code);
      if (info === undefined || kept === undefined) return undefined;
      if (code === undefined && value.code !== undefined) return undefined;
      return { type: "opened", info, kept, code };
    }
    case "openFailed":
      return typeof value.message === "string" ? { type: value.type, message: value.message } : undefined;
    case "dying":
      if (typeof value.message !== "string" || !isDyingCause(value.cause)) return undefined;
      return { type: value.type, cause: value.cause, message: value.message };
    default:
      return undefined;
  }
}

function parseInfo(value: unknown): DriverInfo | undefined {
  if (!isRecord(value) || !isRecord(value.geometry) || typeof value.discards !== "boolean") return undefined;
  const { size, blockSize, readOnly, fua, trim, zero, extents } = value.geometry;
  if (typeof blockSize !== "number" || !isBlockSize(blockSize)) return undefined;
  if (typeof size !== "number" || !isBytes(size) || size % blockSize !== 0) return undefined;
  if (typeof readOnly !== "boolean" || typeof fua !== "boolean" || typeof trim !== "boolean") return undefined;
  if (typeof zero !== "boolean" || typeof extents !== "boolean") return undefined;
  if (value.identity !== undefined && typeof value.identity !== "string") return undefined;
  return {
    geometry: { size, blockSize, readOnly, fua, trim, zero, extents },
    identity: value.identity,
    discards: value.discards,
  };
}

function parseKept(value: unknown): (MadeFile & { name: string })[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_KEPT_REGIONS) return undefined;
  const kept: (MadeFile & { name: string })[] = [];
  for (const entry of value as unknown[]) {
    const file = parseFile(entry);
    if (file === undefined || !isRecord(entry) || typeof entry.name !== "string") return undefined;
    if (!isKeptName(entry.name)) return undefined;
    kept.push({ ...file, name: entry.name });
  }
  return kept;
}

function parseFile(value: unknown): MadeFile | undefined {
  if (!isRecord(value) || typeof value.fd !== "number" || typeof value.bytes !== "number") return undefined;
  return isBytes(value.bytes) && Number.isInteger(value.fd) && value.fd > 2
    ? { fd: value.fd, bytes: value.bytes }
    : undefined;
}

function isDyingCause(value: unknown): value is DyingCause {
  return value === "exception" || value === "rejection" || value === "close";
}

function isBytes(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
