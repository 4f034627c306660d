import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SkinkError } from "../src/block/errors.ts";
import { askFront } from "../src/front/control-client.ts";
import type { DeviceStatus } from "../src/front/status.ts";
import type { Tool, Workbench } from "./workbench.ts";

export const SKINK = fileURLToPath(new URL("../bin/skink.js", import.meta.url));
const READY_TIMEOUT_MS = 30_000;
const RETRY_MS = 20;
/** Clients that qemu-nbd serves at once. */
const QEMU_CLIENTS = 16;

/** A running NBD server. */
export interface Server {
  readonly tool: Tool;
  /** One for each device. */
  readonly uris: readonly string[];
}

export interface SkinkServer extends Server {
  readonly control: string;
}

export interface SkinkOptions {
  /** Names the sockets: short and unique in its workbench. */
  readonly name: string;
  /** A device spec, or the path of a YAML file. */
  readonly spec: string;
  readonly devices?: number;
  readonly flags?: readonly string[];
  /** What runs `serve`: bin/skink.js if left out. */
  readonly command?: readonly string[];
}

/** Starts `skink serve` and waits until it accepts clients. */
export async function startSkink(bench: Workbench, options: SkinkOptions): Promise<SkinkServer> {
  const socket = bench.path(`${options.name}.sock`);
  const control = bench.path(`${options.name}.control`);
  const flags = ["--socket", socket, "--control", control, ...(options.flags ?? [])];
  const [program = "", ...before] = options.command ?? [process.execPath, SKINK];
  const tool = bench.start(program, [...before, "serve", options.spec, ...flags]);
  return { tool, uris: await readyLines(tool, options.devices ?? 1), control };
}

/** The status of a front's only device, asked for over the control socket: a command's start would take the server's CPU. */
export async function deviceStatus(server: SkinkServer): Promise<DeviceStatus> {
  const [device] = (await askFront(server.control, { command: "status" })).devices;
  if (device === undefined)
    throw new SkinkError("no-device", "Cannot read the status: it lists no device, one was wanted");
  return device;
}

/** Starts nbdkit with a plugin and its arguments, for example `["memory", "1G"]`. */
export async function startNbdkit(bench: Workbench, name: string, plugin: readonly string[]): Promise<Server> {
  const socket = bench.path(`${name}.sock`);
  const tool = bench.start("nbdkit", ["--foreground", "--exit-with-parent", "--unix", socket, ...plugin]);
  return { tool, uris: [await answering(bench, tool, socket)] };
}

/** Starts qemu-nbd on a raw file. It takes no lock, so that others may serve the same file. */
export async function startQemuNbd(bench: Workbench, name: string, file: string): Promise<Server> {
  const socket = bench.path(`${name}.sock`);
  const image = `driver=raw,file.driver=file,file.filename=${file},file.locking=off`;
  const flags = ["--persistent", "--shared", String(QEMU_CLIENTS), "--socket", socket, "--image-opts", image];
  const tool = bench.start("qemu-nbd", flags);
  return { tool, uris: [await answering(bench, tool, socket)] };
}

/** The URIs of the `ready NAME URI` lines. */
async function readyLines(tool: Tool, count: number): Promise<string[]> {
  const uris: string[] = [];
  const { stdout } = tool.child;
  if (stdout === null) throw notReady(tool);
  const lines = createInterface({ input: stdout });
  const timer = setTimeout(() => lines.close(), READY_TIMEOUT_MS);
  for await (const line of lines) {
    const uri = /^ready \S+ (\S+)$/.exec(line)?.[1];
    if (uri !== undefined) uris.push(uri);
    if (uris.length === count) break;
  }
  clearTimeout(timer);
  if (uris.length < count) throw notReady(tool);
  // What else it prints is of no interest, but must not fill the pipe.
  stdout.resume();
  return uris;
}

/** Waits until a server that says nothing accepts connections. Returns the URI of its only export. */
async function answering(bench: Workbench, tool: Tool, socket: string): Promise<string> {
  tool.child.stdout?.resume();
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!(await accepts(socket))) {
    if (performance.now() > deadline || tool.child.exitCode !== null || tool.pid === 0) throw notReady(tool);
    await delay(RETRY_MS, undefined, { signal: bench.signal });
  }
  return `nbd+unix:///?socket=${socket}`;
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function notReady(tool: Tool): SkinkError {
  const command = tool.child.spawnargs.join(" ");
  return new SkinkError("not-ready", `Cannot start ${command}: it is not ready, clients were wanted\n${tool.errors()}`);
}
