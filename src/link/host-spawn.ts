import { type ChildProcess, spawn } from "node:child_process";
import { bootParameters, readBootCode } from "./boot-parameters.ts";
import { Parts, type Rings } from "./host-parts.ts";
import type { KeptFile } from "./kept.ts";
import type { DriverCode } from "./kept-code.ts";
import type { DriverSource } from "./opening.ts";
import type { DriverOutput } from "./output.ts";
import { familyMark, MARK } from "./process-mark.ts";
import type { SharedArenas } from "./shared-arenas.ts";

/** Not --input-type: a driver's own worker threads inherit the flags, and would not start with that one. */
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning", "--eval"];

/** What a host is made for. */
export interface HostOrder {
  readonly driver: DriverSource;
  readonly memory: SharedArenas;
  /** Submissions that may be outstanding: a power of two. */
  readonly depth: number;
  readonly kept: readonly KeptFile[];
  readonly code: DriverCode;
  readonly output: DriverOutput;
  /** In the environment of all processes that come of it, and of no others. */
  readonly mark: string;
}

/** A process that has just been started, and the front's ends of what joins them. */
export interface SpawnedHost {
  readonly child: ChildProcess;
  readonly rings: Rings;
  readonly controlFd: number;
  readonly doorbellFd: number;
}

/**
 * Starts a driver host, the leader of a process group of its own. Throws where the machine refuses what that takes:
 * descriptors, memory. A process that could not be started is told by the child's `error`. `spare`: it will wait for its order.
 */
export function spawnHost(order: HostOrder, spare: boolean): SpawnedHost {
  const parts = new Parts();
  try {
    const rings = parts.rings(order.depth);
    const [control, controlPeer] = parts.pair();
    const [doorbell, doorbellPeer] = parts.pair();
    const boot = parts.file(Buffer.from(JSON.stringify(bootParameters(order, spare))));
    const child = spawn(process.execPath, [...NODE_FLAGS, readBootCode()], {
      detached: true,
      env: { ...process.env, [MARK]: familyMark(order.mark) },
      stdio: [
        "ignore",
        "pipe",
        "pipe",
        controlPeer,
        doorbellPeer,
        boot,
        order.code.file?.fd ?? boot,
        order.memory.writesFd,
        order.memory.readsFd,
        rings.frontFd,
        rings.hostFd,
        ...order.kept.map(({ fd }) => fd),
      ],
    });
    return { child, rings, controlFd: parts.keep(control), doorbellFd: parts.keep(doorbell) };
  } catch (error) {
    parts.unmap();
    throw error;
  } finally {
    parts.close();
  }
}
