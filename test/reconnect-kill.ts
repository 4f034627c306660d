import { childrenOf, familyOf, isRunning } from "./processes.ts";
import type { Front } from "./serve.ts";
import { until } from "./until.ts";

const START_TIMEOUT_MS = 20_000;
const GONE_TIMEOUT_MS = 10_000;

/** Which of the processes behind a device dies, always by SIGKILL. */
export type Killed = "server" | "front" | "front, then server" | "server, then front" | "both at once";

/** All that take a front along, which has to have a guard then. */
export const FRONT_DEATHS: readonly Killed[] = ["front", "front, then server", "server, then front", "both at once"];

/** Kills, and waits until what was killed is gone. `guard`: a front that serves, started with --guard where it is to die. */
export async function killBehind(guard: Front, killed: Killed): Promise<void> {
  const server = (await guard.until("live")).driver.pid as number;
  const front = killed === "server" ? undefined : await frontOf(guard);
  const ends: Record<Killed, () => Promise<void>> = {
    server: () => endServer(server),
    front: () => endFront(front as number),
    "front, then server": async () => {
      await endFront(front as number);
      await endServer(server);
    },
    "server, then front": async () => {
      await endServer(server);
      await endFront(front as number);
    },
    "both at once": async () => {
      await Promise.all([endFront(front as number), endServer(server)]);
    },
  };
  await ends[killed]();
}

/** The process of the front that a guard has started, and starts now if the one before is gone. */
export async function frontOf(guard: Front): Promise<number> {
  return await until("the guard to start a front", START_TIMEOUT_MS, () => childrenOf(guard.pid)[0]);
}

export async function endFront(pid: number): Promise<void> {
  kill(pid);
  await until("the front to be gone", GONE_TIMEOUT_MS, () => (isRunning(pid) ? undefined : true));
}

/** With its group, if it leads one. Whoever cleans up behind a dead front may have been quicker. */
async function endServer(pid: number): Promise<void> {
  kill(-pid);
  kill(pid);
  const runs = () => isRunning(pid) || familyOf(pid).length > 0;
  await until("the server to be gone", GONE_TIMEOUT_MS, () => (runs() ? undefined : true));
}

function kill(target: number): void {
  try {
    process.kill(target, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
