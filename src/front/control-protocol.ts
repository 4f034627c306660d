/**
 * What travels over the control socket: JSON, one object a line, a reply for each request, in order.
 *
 *   ▶ {"command":"kill","name":"disk"}
 *   ◀ {"ok":true,"result":null}            or  {"ok":false,"code":"unknown-device","message":"Cannot …"}
 *
 * Events are a reply of many lines, of which all but the last say that there are more:
 *
 *   ▶ {"command":"events","follow":true}
 *   ◀ {"ok":true,"more":true,"result":{"seq":1,"time":"…","device":"disk","type":"live",…}}
 *   ◀ {"ok":true,"more":true,"result":{"type":"missed","count":12}}      for a reader that is too slow
 *   ◀ {"ok":true,"result":null}
 *
 * Without `follow` these are the remembered events. With it the reply goes on until the front stops, the client hangs up
 * (also by ending its side alone), or sends another request, which is then answered in its turn.
 *
 * An upgrade names the folder from which relative paths in its spec start, since that is the client's affair:
 *
 *   ▶ {"command":"upgrade","name":"disk","spec":"./new.ts","base":"/home/me","wait":true}
 *   ◀ {"ok":true,"result":{"outcome":"upgraded","epoch":8,"stallMs":6.1}}
 *
 * Another front that takes over (see takeover.ts) asks for descriptors, then for the end:
 *
 *   ▶ {"command":"offer","socket":"@its-notify-socket"}
 *   ◀ {"ok":true,"result":{"pid":123,"descriptors":4}}
 *   ▶ {"command":"hand-over"}
 *   ◀ {"ok":true,"result":{"clean":true}}
 */
import { z } from "zod";
import { SkinkError } from "../block/errors.ts";

/** A request that is longer ends the connection. A spec may be a long command. */
export const MAX_REQUEST_BYTES = 64 << 10;
/** A reply, or a line of one, that is longer is not one of a front. */
export const MAX_REPLY_BYTES = 16 << 20;

const request = z.discriminatedUnion("command", [
  z.strictObject({ command: z.literal("status") }),
  z.strictObject({ command: z.literal("kill"), name: z.string() }),
  z.strictObject({ command: z.literal("restart"), name: z.string() }),
  z.strictObject({
    command: z.literal("upgrade"),
    name: z.string(),
    spec: z.string(),
    base: z.string().startsWith("/"),
    /** Whether the reply waits for the end of probation. */
    wait: z.boolean(),
  }),
  z.strictObject({ command: z.literal("events"), follow: z.boolean() }),
  z.strictObject({ command: z.literal("stop") }),
  z.strictObject({ command: z.literal("offer"), socket: z.string().regex(/^[@/]./) }),
  z.strictObject({ command: z.literal("hand-over") }),
]);
const reply = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), more: z.literal(true).optional(), result: z.unknown() }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string() }),
]);

export type ControlRequest = z.infer<typeof request>;
export type ControlReply = z.infer<typeof reply>;

/** What became of an upgrade. */
export interface UpgradeResult {
  /** "on probation": the newcomer serves, and may still be rolled back. */
  readonly outcome: "upgraded" | "on probation" | "rolled back";
  /** Of the incarnation that serves now. */
  readonly epoch: number;
  /** How long no request was executed, in milliseconds; a rollback adds its own. */
  readonly stallMs: number;
  /** Of one that was rolled back: whether the newcomer had come to serve. */
  readonly served?: boolean;
  /** Why it was rolled back: one line. */
  readonly reason?: string;
}

/** What a front has given to the one that takes over from it. */
export interface Offer {
  /** Its own. */
  readonly pid: number;
  /** How many it has sent. */
  readonly descriptors: number;
}

/** Throws a SkinkError `bad-request` for what is none. */
export function parseRequest(line: string): ControlRequest {
  const parsed = request.safeParse(json(line));
  if (parsed.success) return parsed.data;
  const wanted = "status, kill NAME, restart NAME, upgrade NAME, events or stop was wanted";
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
