import { closeSync, writeSync } from "node:fs";
import {
  type BootParameters,
  CONTROL_FD,
  DOORBELL_FD,
  type DyingCause,
  FRONT_RING_FD,
  type FrontMessage,
  HOST_RING_FD,
  type HostMessage,
  MAX_CONTROL_LINE_BYTES,
  type MadeFile,
  READS_FD,
  WRITES_FD,
} from "../link/control.ts";
import { Executor } from "../link/executor.ts";
import { LineReader } from "../link/lines.ts";
import { listen } from "../link/listen.ts";
import { type LoadedDriver, loadDriver, type Opened, oneLine, openLoaded } from "../link/opening.ts";
import { HostPulse } from "../link/pulse.ts";
import { HostRing, ringBytes } from "../link/ring.ts";
import { Views } from "../link/views.ts";
import { exitNow } from "../os/exit.ts";
import { holdMemory } from "../os/memory-holder.ts";
import { mapShared } from "../os/mmap.ts";
import { dieWithParent } from "../os/parent-death.ts";
import { Keeper } from "./keeper.ts";
import { LeftCode, type LoadedCode } from "./left-code.ts";
import { HostLoop } from "./loop.ts";

const SIGKILL = 9;

/**
 * A driver host: loads the driver, opens it when it is told to, and executes what the front submits, until the front
 * closes it or is gone.
 */
export async function run(boot: BootParameters, code: LoadedCode): Promise<void> {
  if (dieWithParent(SIGKILL) !== boot.parent) exitNow(1);
  say({ type: "holder", pid: holdMemory(boot.parent) });
  // A driver that ends its process does so, too.
  process.on("exit", exitNow);
  process.title = `skink-host ${boot.name}`;
  process.on("uncaughtException", (error) => die("exception", `uncaught exception: ${oneLine(error)}`));
  process.on("unhandledRejection", (reason) => die("rejection", `unhandled rejection: ${oneLine(reason)}`));

  // Everything is mapped and its descriptors are closed before the driver's code comes in, which might use any it finds.
  const bytes = ringBytes(boot.depth);
  const own = mapAndClose(HOST_RING_FD, bytes.host, "write");
  const peer = mapAndClose(FRONT_RING_FD, bytes.front, "read");
  const writes = new Views(new Uint8Array(mapAndClose(WRITES_FD, boot.writeBytes, "read")));
  const reads = new Views(new Uint8Array(mapAndClose(READS_FD, boot.readBytes, "write")));
  const loop = new HostLoop(new HostRing(own, peer, boot.depth), new HostPulse(own, peer));
  listen(
    DOORBELL_FD,
    () => loop.rung(),
    () => {},
  );
  const keeper = new Keeper(boot.kept);
  const closing = new AbortController();
  let ordered = false;
  const order = Promise.withResolvers<FrontMessage & { type: "open" }>();
  const state: { made: readonly MadeFile[]; begin: () => void; end: () => Promise<void> } = {
    made: [],
    begin: () => {},
    end: async () => exitNow(0),
  };

  listenToFront((message) => {
    if (message.type === "open") {
      ordered = true;
      order.resolve(message);
    } else if (message.type === "taken") {
      for (const { fd } of state.made) closeSync(fd);
      state.made = [];
      state.begin();
    } else if (!closing.signal.aborted) {
      closing.abort();
      state.end().catch((error: unknown) => die("close", `close failed: ${oneLine(error)}`));
    }
  });

  const leftCode = new LeftCode(code);
  const loaded = await orEnd(loadDriver(boot));
  if (boot.spare) {
    // Who is wanted at once has no time for it. Others are wanted when they say that they are ready.
    const { rehearse } = await import("./rehearsal.ts");
    if (!ordered) await rehearse();
    if (!ordered) leftCode.file();
  }
  say({ type: "ready" });
  const { epoch, spare } = await order.promise;
  if (spare && code.changed()) {
    say({ type: "stale" });
    exitNow(0);
  }
  const { device, info } = await orEnd(open(loaded, keeper, epoch, closing.signal));
  const kept = keeper.end();
  const left = leftCode.file();
  state.made = left === undefined ? kept : [...kept, left];

  state.begin = () => loop.start((complete) => new Executor(device, info.geometry.blockSize, writes, reads, complete));
  state.end = async () => {
    await loop.drained();
    await device.close?.();
    exitNow(0);
  };
  say({ type: "opened", info, kept, code: left });
  // Before the first request, the front has its own descriptors of what was made here.
  if (state.made.length === 0) state.begin();
}

function open(loaded: LoadedDriver, keeper: Keeper, epoch: number, signal: AbortSignal): Promise<Opened> {
  return openLoaded(loaded, { epoch, signal, log, keep: (name, size) => keeper.keep(name, size) });
}

/** What it resolves with. A driver that can't be loaded or opened is the end of its host. */
async function orEnd<Result>(attempt: Promise<Result>): Promise<Result> {
  try {
    return await attempt;
  } catch (error) {
    say({ type: "openFailed", message: oneLine(error) });
    return exitNow(1);
  }
}

/** To the front's log: what goes to a driver's own output does. */
function log(message: string): void {
  writeSync(2, `${`${message}`.replaceAll(/\s+/g, " ")}\n`);
}

function say(message: HostMessage): void {
  writeSync(CONTROL_FD, `${JSON.stringify(message)}\n`);
}

let dying = false;

function die(cause: DyingCause, message: string): void {
  if (!dying) {
    dying = true;
    try {
      say({ type: "dying", cause, message });
    } catch {
      // Nobody listens; the exit code tells.
    }
  }
  exitNow(1);
}

function listenToFront(hear: (message: FrontMessage) => void): void {
  const lines = new LineReader(MAX_CONTROL_LINE_BYTES);
  listen(
    CONTROL_FD,
    (bytes) => {
      for (const line of lines.push(bytes) ?? []) hear(JSON.parse(line) as FrontMessage);
    },
    // Without a front there is nothing to do any more.
    () => exitNow(1),
  );
}

function mapAndClose(fd: number, bytes: number, access: "read" | "write"): ArrayBuffer {
  const { buffer } = mapShared(fd, bytes, access);
  closeSync(fd);
  return buffer;
}
