import { readFileSync } from "node:fs";
import { extname } from "node:path";
import type { BootParameters } from "./control.ts";
import type { HostOrder } from "./host-spawn.ts";
import { driverName } from "./opening.ts";

// This module is TypeScript in a checkout and JavaScript in a package, and so is what a host runs.
const EXTENSION = extname(import.meta.url);
const MAIN = new URL(`../host/main${EXTENSION}`, import.meta.url).href;

let bootCode: string | undefined;
let foreign: string | undefined;

export function bootParameters(order: HostOrder, spare: boolean): BootParameters {
  return {
    module: order.driver.module,
    options: order.driver.options,
    name: driverName(order.driver),
    parent: process.pid,
    main: MAIN,
    foreign: foreignBinary(),
    spare,
    codeBytes: order.code.file?.bytes ?? 0,
    pinned: order.code.pinned,
    writeBytes: order.memory.writes.layout.totalBytes,
    readBytes: order.memory.reads.layout.totalBytes,
    depth: order.depth,
    kept: order.kept.map(({ name, bytes }) => ({ name, bytes })),
  };
}

export function readBootCode(): string {
  bootCode ??= readFileSync(new URL(`../host/boot${EXTENSION}`, import.meta.url), "utf8");
  return bootCode;
}

/** The binary of the foreign-function library that this process has loaded: looking for it takes a host 7 ms. */
function foreignBinary(): string {
  foreign ??= /\/\S*\/koffi\.node$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[0] ?? "";
  return foreign;
}
