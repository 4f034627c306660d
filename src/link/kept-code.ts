import { closeSync } from "node:fs";
import type { DriverRef } from "../shadow/ports.ts";
import { MAX_CODE_BYTES, type MadeFile } from "./control.ts";
import { takeFile } from "./kept.ts";

/** A device chooses from three drivers: its first one, a fallback, the newcomer of an upgrade. What was used before is forgotten. */
const MAX_DRIVERS = 8;

/** A memory file that holds the JavaScript of a driver and its host, as boot.ts writes and reads it. */
export interface CodeFile {
  readonly fd: number;
  readonly bytes: number;
}

/** What a host of a driver is started with. */
export interface DriverCode {
  /** `undefined` if no host has left any. */
  readonly file: CodeFile | undefined;
  /** The file's modules are what the driver is, whatever is on disk. Else they only save the work where nothing has changed. */
  readonly pinned: boolean;
}

const NOTHING: DriverCode = { file: undefined, pinned: false };

/** The JavaScript that hosts have left for the next ones of the same driver. */
export class KeptCode {
  /** The one that has opened last comes last. */
  readonly #drivers = new Map<DriverRef, DriverCode>();

  of(driver: DriverRef): DriverCode {
    return this.#drivers.get(driver) ?? NOTHING;
  }

  /** Host `pid` of that driver has opened, and leaves `made` if it runs other code than it was given. Throws like {@link takeFile}. */
  opened(driver: DriverRef, pid: number, made: MadeFile | undefined): void {
    const old = this.of(driver);
    const file = made === undefined ? old.file : takeCode(pid, made);
    if (file !== old.file) close(old);
    this.#drivers.delete(driver);
    this.#drivers.set(driver, { ...old, file });
    const [longestUnused] = this.#drivers.keys();
    if (longestUnused !== undefined && this.#drivers.size > MAX_DRIVERS) this.#forget(longestUnused);
  }

  /** Should the code be at fault, the next host does without; but a pinned driver has no other. */
  openFailed(driver: DriverRef): void {
    if (!this.of(driver).pinned) this.#forget(driver);
  }

  /** From now on the driver is what its hosts have left. */
  pin(driver: DriverRef): void {
    this.#drivers.set(driver, { ...this.of(driver), pinned: true });
  }

  /** Forgets all of it. */
  close(): void {
    for (const driver of this.#drivers.keys()) this.#forget(driver);
  }

  #forget(driver: DriverRef): void {
    close(this.of(driver));
    this.#drivers.delete(driver);
  }
}

function takeCode(pid: number, made: MadeFile): CodeFile | undefined {
  return made.bytes > MAX_CODE_BYTES ? undefined : { fd: takeFile(pid, made), bytes: made.bytes };
}

function close({ file }: DriverCode): void {
  if (file !== undefined) closeSync(file.fd);
}
