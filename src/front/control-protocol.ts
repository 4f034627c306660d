/**
 * What travels over the control socket: JSON, one object a line, a reply for each request, in order.
 *
 *   ▶ {"command":"kill","name":"disk"}
 *   ◀ {"ok":true,"result":null}            or  {"ok":false,"code":"unknown-device","message":"Cannot …"}
 */
import { z } from "zod";
import { SkinkError } from "../block/errors.ts";

/** A request that is longer ends the connection. */
export const MAX_REQUEST_BYTES = 4096;
/** A reply that is longer is not one of a front. */
export const MAX_REPLY_BYTES = 16 << 20;

const request = z.discriminatedUnion("command", [
  z.strictObject({ command: z.literal("status") }),
  z.strictObject({ command: z.literal("kill"), name: z.string() }),
  z.strictObject({ command: z.literal("restart"), name: z.string() }),
  z.strictObject({ command: z.literal("stop") }),
]);
const reply = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), result: z.unknown() }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string() }),
]);

export type ControlRequest = z.infer<typeof request>;
export type ControlReply = z.infer<typeof reply>;

/** Throws a SkinkError `bad-request` for what is none. */
export function parseRequest(line: string): ControlRequest {
  const parsed = request.safeParse(json(line));
  if (parsed.success) return parsed.data;
  const wanted = "status, kill NAME, restart NAME or stop was wanted";
  throw new SkinkError("bad-request", `Cannot read a control request: ${JSON.stringify(line.slice(0, 80))}, ${wanted}`);
}

/** Throws a SkinkError `bad-reply` for what is none. */
export function parseReply(line: string): ControlReply {
  const parsed = reply.safeParse(json(line));
  if (parsed.success) return parsed.data;
  throw new SkinkError("bad-reply", "Cannot read the reply on the control socket: it is not that of a Skink front");
}

function json(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
