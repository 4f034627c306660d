import { connect } from "node:net";
import { SkinkError } from "../block/errors.ts";
import { LineReader } from "../link/lines.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { type ControlRequest, MAX_REPLY_BYTES, parseReply, type UpgradeResult } from "./control-protocol.ts";
import type { StreamedEvent } from "./events.ts";
import type { FrontStatus } from "./status.ts";

/** What each command answers with, if it does so in one line. */
export interface ControlResults {
  status: FrontStatus;
  kill: null;
  restart: null;
  upgrade: UpgradeResult;
  stop: StopOutcome;
}

export type PlainRequest = Extract<ControlRequest, { command: keyof ControlResults }>;

/** Asks the front whose control socket is at `path`. Rejects with what the front answered, or `no-front` where none does. */
export async function askFront<Request extends PlainRequest>(
  path: string,
  request: Request,
): Promise<ControlResults[Request["command"]]> {
  const reply = parseReply(await exchange(path, `${JSON.stringify(request)}\n`));
  if (!reply.ok) throw new SkinkError(reply.code, reply.message);
  return reply.result as ControlResults[Request["command"]];
}

/**
 * The events that the front whose control socket is at `path` remembers; with `follow`, then those that come, until the
 * front ends in order or the signal is aborted. Throws `no-front` where none answers, or none any more.
 */
export async function* eventsOf(
  path: string,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<StreamedEvent, void, void> {
  const socket = connect({ path });
  const reader = new LineReader(MAX_REPLY_BYTES);
  const hangUp = (): void => void socket.destroy();
  signal.addEventListener("abort", hangUp);
  if (signal.aborted) hangUp();
  try {
    socket.write(`${JSON.stringify({ command: "events", follow } satisfies ControlRequest)}\n`);
    for await (const chunk of socket) {
      const lines = reader.push(chunk as Buffer);
      if (lines === undefined) throw noFront(path, "its reply is too long");
      for (const line of lines) {
        const reply = parseReply(line);
        if (!reply.ok) throw new SkinkError(reply.code, reply.message);
        if (reply.more === undefined || signal.aborted) return;
        yield reply.result as StreamedEvent;
      }
    }
    throw noFront(path, "it closed the connection");
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof SkinkError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw noFront(path, code ?? message);
  } finally {
    signal.removeEventListener("abort", hangUp);
    socket.destroy();
  }
}

function exchange(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path }, () => socket.write(line));
    const reader = new LineReader(MAX_REPLY_BYTES);
    const fail = (what: string): void => {
      socket.destroy();
      reject(noFront(path, what));
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

function noFront(path: string, what: string): SkinkError {
  return new SkinkError("no-front", `Cannot ask the front at ${path}: ${what}, a running front's was wanted`);
}
