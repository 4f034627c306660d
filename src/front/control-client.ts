import { connect } from "node:net";
import { SkinkError } from "../block/errors.ts";
import { LineReader } from "../link/lines.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import {
  type ControlReply,
  type ControlRequest,
  MAX_REPLY_BYTES,
  type Offer,
  parseReply,
  type UpgradeResult,
} from "./control-protocol.ts";
import type { StreamedEvent } from "./events.ts";
import type { FrontStatus } from "./status.ts";

/** What is wrong where the connection ends before the answers do. */
const CLOSED = "it closed the connection";

/** What each command answers with, if it does so in one line. */
export interface ControlResults {
  status: FrontStatus;
  kill: null;
  restart: null;
  upgrade: UpgradeResult;
  mark: null;
  stop: StopOutcome;
  offer: Offer;
  "hand-over": StopOutcome;
}

export type PlainRequest = Extract<ControlRequest, { command: keyof ControlResults }>;

/** Asks the front whose control socket is at `path`. Rejects with what the front answered, or `no-front` where none does. */
export async function askFront<Request extends PlainRequest>(
  path: string,
  request: Request,
): Promise<ControlResults[Request["command"]]> {
  for await (const { result } of repliesTo(path, request)) return result as ControlResults[Request["command"]];
  throw noFront(path, CLOSED);
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
  for await (const { more, result } of repliesTo(path, { command: "events", follow }, signal)) {
    if (more === undefined || signal.aborted) return;
    yield result as StreamedEvent;
  }
  if (!signal.aborted) throw noFront(path, CLOSED);
}

/**
 * What the front answers, until nobody wants to hear more, the connection is closed, or the signal is aborted. Throws what it
 * refuses with, and `no-front` where there is none.
 */
async function* repliesTo(
  path: string,
  request: ControlRequest,
  signal?: AbortSignal,
): AsyncGenerator<Extract<ControlReply, { ok: true }>, void, void> {
  const socket = connect({ path });
  const reader = new LineReader(MAX_REPLY_BYTES);
  const hangUp = (): void => void socket.destroy();
  signal?.addEventListener("abort", hangUp);
  if (signal?.aborted) hangUp();
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    for await (const chunk of socket) {
      const lines = reader.push(chunk as Buffer);
      if (lines === undefined) throw noFront(path, "its reply is too long");
      for (const line of lines) {
        const reply = parseReply(line);
        if (!reply.ok) throw new SkinkError(reply.code, reply.message);
        yield reply;
      }
    }
  } catch (error) {
    if (signal?.aborted) return;
    if (error instanceof SkinkError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw noFront(path, code ?? message);
  } finally {
    signal?.removeEventListener("abort", hangUp);
    socket.destroy();
  }
}

function noFront(path: string, what: string): SkinkError {
  return new SkinkError("no-front", `Cannot ask the front at ${path}: ${what}, a running front's was wanted`);
}
