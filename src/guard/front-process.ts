import { type ChildProcess, spawn } from "node:child_process";
import { GUARD_VARIABLE } from "../service/guard-death.ts";
import { ANSWERS_VARIABLE } from "../service/notification.ts";
import { type DescriptorStore, MAX_STORED_DESCRIPTORS } from "./descriptor-store.ts";

/** A process learns its id only when it is there; the shell that turns into the front knows it. See sd_listen_fds(3). */
const SCRIPT = 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@"';

export interface FrontOrder {
  readonly command: readonly string[];
  /** For $NOTIFY_SOCKET. */
  readonly notifySocket: string;
  readonly watchdogMs: number;
  readonly store: DescriptorStore;
}

/**
 * Starts a front as systemd would. It is in a session of its own: what a terminal sends to all of its processes comes
 * to the guard, which passes it on, and not a second time to the front. A failure is told by the child's `error`, or thrown.
 */
export function startFront({ command, notifySocket, watchdogMs, store }: FrontOrder): ChildProcess {
  const { LISTEN_FDS: _fds, LISTEN_FDNAMES: _names, LISTEN_PID: _pid, ...inherited } = process.env;
  const stored = store.all;
  const listen = { LISTEN_FDS: String(stored.length), LISTEN_FDNAMES: stored.map(({ name }) => name).join(":") };
  return spawn("/bin/sh", ["-c", SCRIPT, "skink", ...command], {
    detached: true,
    env: {
      ...inherited,
      ...listen,
      NOTIFY_SOCKET: notifySocket,
      WATCHDOG_USEC: String(watchdogMs * 1000),
      FDSTORE: String(MAX_STORED_DESCRIPTORS),
      [ANSWERS_VARIABLE]: "1",
      [GUARD_VARIABLE]: String(process.pid),
    },
    stdio: ["inherit", "inherit", "inherit", ...stored.map(({ fd }) => fd)],
  });
}
