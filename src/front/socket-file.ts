import { lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { SkinkError } from "../block/errors.ts";

/** A living server takes a connection at once. */
const CONNECT_TIMEOUT_MS = 2000;

/** Makes way for a socket at `path`: removes what a dead server left there; a living one's is an error. */
export async function makeWay(path: string): Promise<void> {
  const answer = await probe(path);
  if (answer === "refused") return removeStale(path);
  if (answer === "missing") return;
  const found = answer === "alive" ? "another process is listening on it" : answer;
  throw new SkinkError("address-in-use", `Cannot listen on ${path}: ${found}, a free path was wanted`);
}

/** Whether somebody listens on the socket file. */
export async function isAlive(path: string): Promise<boolean> {
  return (await probe(path)) === "alive";
}

export function removeStale(path: string): void {
  rmSync(path, { force: true });
}

/** "alive", "refused" (nobody listens any more), "missing", or what else is the matter. */
function probe(path: string): Promise<string> {
  // Linux refuses a connection to a plain file, too.
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() === false) return Promise.resolve("a file that is no socket is there");
  return new Promise((resolve) => {
    const socket = connect({ path });
    const settle = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle("alive"));
    socket.once("connect", () => settle("alive"));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") settle("refused");
      else if (error.code === "ENOENT") settle("missing");
      else settle(error.code ?? error.message);
    });
  });
}
