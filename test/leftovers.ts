import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isRunning } from "./processes.ts";

/** A process, by what /proc says of it. */
export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

/** The processes that run in `folder`, or were started with it in their environment. Zombies are gone already. */
export function processesOf(folder: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!isRunning(pid)) continue;
    const { environ, command } = lookAt(name);
    if (environ.includes(folder) || command.includes(folder) || isInside(folder, workingFolder(name))) {
      found.push({ pid, command });
    }
  }
  return found;
}

/** Everything but processes that is still there of what ran in `folder`: one line each. */
export function leftoversOf(folder: string): string[] {
  return [
    ...filesIn(join(folder, "tmp")).map((path) => `temporary file ${path}`),
    ...socketsIn(folder).map((path) => `socket ${path}`),
    ...sharedMemory().map((name) => `shared memory /dev/shm/${name}`),
    ...mountsIn(folder).map((path) => `mount ${path}`),
    ...loopDevicesOn(folder).map((device) => `loop device ${device}`),
  ];
}

export function mountsIn(folder: string): string[] {
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "");
  return points.filter((point) => isInside(folder, point)).reverse();
}

export function loopDevicesOn(folder: string): string[] {
  return readdirSync("/sys/block")
    .filter(
      (name) => name.startsWith("loop") && isInside(folder, textOf(`/sys/block/${name}/loop/backing_file`).trim()),
    )
    .map((name) => `/dev/${name}`);
}

function lookAt(pid: string): { environ: string; command: string } {
  return {
    environ: textOf(`/proc/${pid}/environ`),
    command: textOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim(),
  };
}

function workingFolder(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).map((name) => join(folder, name));
}

function socketsIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isSocket()).map((entry) => join(entry.parentPath, entry.name));
}

/** Skink uses no names there; a name of it would be one that somebody forgot. */
function sharedMemory(): string[] {
  return readdirSync("/dev/shm").filter((name) => /skink/i.test(name));
}

function isInside(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** Empty where there is nothing to read, or nothing any more. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
