import { SkinkError } from "../block/errors.ts";
import { closeOnExec } from "../os/descriptor.ts";

/** The first one; see sd_listen_fds(3). */
const FIRST_FD = 3;
/** What systemd calls a descriptor where it says no names. */
const NAMELESS = "unknown";

/** A descriptor that the service manager passed on. */
export interface Inherited {
  readonly name: string;
  readonly fd: number;
}

/**
 * The descriptors that this process was started with, in their order, by $LISTEN_PID, $LISTEN_FDS and $LISTEN_FDNAMES, which are
 * taken out of `environment`, so that no child takes them for its own; nor does one get the descriptors. Those of another process'
 * environment are none. Throws `bad-environment`.
 */
export function takeInherited(environment: NodeJS.ProcessEnv, pid: number): Inherited[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment;
  for (const key of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[key];
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return [];
  if (!/^\d{1,5}$/.test(LISTEN_FDS)) throw bad(`LISTEN_FDS is ${JSON.stringify(LISTEN_FDS)}, a number was wanted`);
  const count = Number(LISTEN_FDS);
  const names = LISTEN_FDNAMES === undefined ? [] : LISTEN_FDNAMES.split(":");
  return Array.from({ length: count }, (_, index) => {
    const fd = FIRST_FD + index;
    try {
      closeOnExec(fd);
    } catch (error) {
      throw bad(`descriptor ${fd} of ${count} is not there, an open one was wanted`, error);
    }
    return { name: names[index] ?? NAMELESS, fd };
  });
}

function bad(what: string, cause?: unknown): SkinkError {
  return new SkinkError("bad-environment", `Cannot take descriptors from the service manager: ${what}`, { cause });
}
