import { connect } from "node:net";
import { SkinkError } from "../block/errors.ts";
import { LineReader } from "../link/lines.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { type ControlRequest, MAX_REPLY_BYTES, parseReply } from "./control-protocol.ts";
import type { FrontStatus } from "./status.ts";

/** What each command answers with. */
export interface ControlResults {
  status: FrontStatus;
  kill: null;
  restart: null;
  stop: StopOutcome;
}

/** Asks the front whose control socket is at `path`. Rejects with what the front answered, or `no-front` where none does. */
export async function askFront<Request extends ControlRequest>(
  path: string,
  request: Request,
): Promise<ControlResults[Request["command"]]> {
  const reply = parseReply(await exchange(path, `${JSON.stringify(request)}\n`));
  if (!reply.ok) throw new SkinkError(reply.code, reply.message);
  return reply.result as ControlResults[Request["command"]];
}

function exchange(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path }, () => socket.write(line));
    const reader = new LineReader(MAX_REPLY_BYTES);
    const fail = (what: string): void => {
      socket.destroy();
      reject(new SkinkError("no-front", `Cannot ask the front at ${path}: ${what}, a running front's was wanted`));
    };
    socket.on("data", (chunk: Buffer) => {
      const lines = reader.push(chunk);
      if (lines === undefined) return fail("its reply is too long");
      const [first] = lines;
      if (first === undefined) return;
      socket.destroy();
      resolve(first);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.on("close", () => fail("it closed the connection"));
  });
}
