import { closeSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import {
  type BootParameters,
  CONTROL_FD,
  FRONT_RING_FD,
  type FrontMessage,
  HOST_RING_FD,
  type HostMessage,
  MAX_CODE_BYTES,
  MAX_CONTROL_LINE_BYTES,
  type MadeFile,
  READS_FD,
  WRITES_FD,
} from "../link/control.ts";
import { Executor } from "../link/executor.ts";
import { LineReader } from "../link/lines.ts";
import { type Opened, oneLine, openDriver } from "../link/opening.ts";
import { HostRing, ringBytes } from "../link/ring.ts";
import { exitNow } from "../os/exit.ts";
import { createMemfd } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";
import { dieWithParent } from "../os/parent-death.ts";
import { Keeper } from "./keeper.ts";
import { HostLoop } from "./loop.ts";

const SIGKILL = 9;

/**
 * A driver host: opens the driver and executes what the front submits, until the front closes it or is gone.
 * `newCode`: the JavaScript for the next host, if it differs from what this one was given.
 */
export async function run(boot: BootParameters, newCode: () => string | undefined): Promise<void> {
  if (dieWithParent(SIGKILL) !== boot.parent) exitNow(1);
  // A driver that ends its process does so, too.
  process.on("exit", exitNow);
  process.title = `skink-host ${boot.name}`;
  process.on("uncaughtException", (error) => die(`uncaught exception: ${oneLine(error)}`));
  process.on("unhandledRejection", (reason) => die(`unhandled rejection: ${oneLine(reason)}`));

  // Everything is mapped and its descriptors are closed before the driver's code comes in, which might use any it finds.
  const bytes = ringBytes(boot.depth);
  const ring = new HostRing(
    mapAndClose(HOST_RING_FD, bytes.host, "write"),
    mapAndClose(FRONT_RING_FD, bytes.front, "read"),
    boot.depth,
  );
  const writes = new Uint8Array(mapAndClose(WRITES_FD, boot.writeBytes, "read"));
  const reads = new Uint8Array(mapAndClose(READS_FD, boot.readBytes, "write"));
  const keeper = new Keeper(boot.kept);
  const closing = new AbortController();
  const state: { made: readonly MadeFile[]; end: () => Promise<void> } = {
    made: [],
    end: async () => exitNow(0),
  };

  listenToFront((message) => {
    if (message.type === "taken") {
      for (const { fd } of state.made) closeSync(fd);
      state.made = [];
    } else if (!closing.signal.aborted) {
      closing.abort();
      state.end().catch((error: unknown) => die(`close failed: ${oneLine(error)}`));
    }
  });

  let opened: Opened;
  try {
    opened = await openDriver(boot, {
      epoch: boot.epoch,
      signal: closing.signal,
      log,
      keep: (name, size) => keeper.keep(name, size),
    });
  } catch (error) {
    say({ type: "openFailed", message: oneLine(error) });
    exitNow(1);
  }
  const kept = keeper.end();
  const code = makeFile("skink-code", newCode());
  state.made = code === undefined ? kept : [...kept, code];

  const { device, info } = opened;
  const loop = new HostLoop(ring, (complete) => new Executor(device, info.geometry.blockSize, writes, reads, complete));
  state.end = async () => {
    await loop.drained();
    await device.close?.();
    exitNow(0);
  };
  say({ type: "opened", info, kept, code });
  loop.start();
}

/** To the front's log: what goes to a driver's own output does. */
function log(message: string): void {
  writeSync(2, `${`${message}`.replaceAll(/\s+/g, " ")}\n`);
}

function say(message: HostMessage): void {
  writeSync(CONTROL_FD, `${JSON.stringify(message)}\n`);
}

let dying = false;

function die(message: string): void {
  if (!dying) {
    dying = true;
    try {
      say({ type: "dying", message });
    } catch {
      // Nobody listens; the exit code tells.
    }
  }
  exitNow(1);
}

function listenToFront(hear: (message: FrontMessage) => void): void {
  const lines = new LineReader(MAX_CONTROL_LINE_BYTES);
  const socket = new Socket({ fd: CONTROL_FD, readable: true, writable: false });
  socket.on("data", (chunk: Buffer) => {
    for (const line of lines.push(chunk) ?? []) hear(JSON.parse(line) as FrontMessage);
  });
  // Without a front there is nothing to do any more.
  socket.on("error", () => exitNow(1));
  socket.on("close", () => exitNow(1));
}

function mapAndClose(fd: number, bytes: number, access: "read" | "write"): ArrayBuffer {
  const { buffer } = mapShared(fd, bytes, access);
  closeSync(fd);
  return buffer;
}

function makeFile(name: string, text: string | undefined): MadeFile | undefined {
  if (text === undefined) return undefined;
  const content = Buffer.from(text);
  if (content.byteLength > MAX_CODE_BYTES) return undefined;
  const fd = createMemfd(name, content.byteLength);
  writeSync(fd, content, 0, content.byteLength, 0);
  return { fd, bytes: content.byteLength };
}
