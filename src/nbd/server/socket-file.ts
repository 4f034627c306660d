import { lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { SkinkError } from "../../block/errors.ts";

/** A living server takes a connection at once. */
const CONNECT_TIMEOUT_MS = 2000;
/** What fits, with a zero byte behind it, into sun_path: see unix(7). */
const MAX_PATH_BYTES = 107;

/**
 * Makes way for a socket at `path`: removes the file that a dead server left there. Rejects with `address-in-use` over
 * a living one, with `cannot-listen` over whatever else is there.
 */
export async function makeWay(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES) {
    const what = `it has ${bytes} bytes, a path of at most ${MAX_PATH_BYTES} was wanted`;
    throw new SkinkError("cannot-listen", `Cannot listen at socket ${path}: ${what}`);
  }
  const answer = await probe(path);
  if (answer === "refused") return rmSync(path, { force: true });
  if (answer === "missing") return;
  const alive = answer === "alive";
  const found = alive ? "another server listens there" : answer;
  const code = alive ? "address-in-use" : "cannot-listen";
  throw new SkinkError(code, `Cannot listen at socket ${path}: ${found}, a free path was wanted`);
}

/** Whether somebody listens at the socket file. */
export async function isAlive(path: string): Promise<boolean> {
  return (await probe(path)) === "alive";
}

/** "alive", "refused" (nobody listens any more), "missing", or what else is the matter. */
function probe(path: string): Promise<string> {
  // Linux refuses a connection to a plain file, too.
  if (isOtherFile(path)) return Promise.resolve("another kind of file is there");
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

function isOtherFile(path: string): boolean {
  try {
    return !lstatSync(path).isSocket();
  } catch {
    // It is missing, or can't be looked at: then it can't be connected to either.
    return false;
  }
}
