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
 *   ▶ {"command":"hand-over","pid":4711}
 *   ◀ {"ok":true,"result":{"clean":true}}
 */
import { SkinkError } from "../block/errors.ts";

/** A request that is longer ends the connection. A spec may be a long command. */
export const MAX_REQUEST_BYTES = 64 << 10;
/** A reply, or a line of one, that is longer is not one of a front. */
export const MAX_REPLY_BYTES = 16 << 20;

export type ControlRequest =
  | { readonly command: "status" | "stop" }
  | { readonly command: "kill" | "restart"; readonly name: string }
  | {
      readonly command: "upgrade";
      readonly name: string;
      readonly spec: string;
      readonly base: string;
      /** Whether the reply waits for the end of probation. */
      readonly wait: boolean;
    }
  | { readonly command: "mark"; readonly name: string; readonly text: string }
  | { readonly command: "events"; readonly follow: boolean }
  | { readonly command: "offer"; readonly socket: string }
  /** `pid`: of the front that made the offer. */
  | { readonly command: "hand-over"; readonly pid: number };

export type ControlReply =
  | { readonly ok: true; readonly more?: true; readonly result?: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string };

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const integer: Check = Number.isSafeInteger;
const flag: Check = (value) => typeof value === "boolean";
const path: Check = (value) => typeof value === "string" && value.startsWith("/");
const socket: Check = (value) => typeof value === "string" && /^[@/]./.test(value);

/** What each command has beside its name. Checked by hand: a front that has to be there again loads no library for so little. */
const FIELDS: { readonly [Command in ControlRequest["command"]]: Readonly<Record<string, Check>> } = {
  status: {},
  kill: { name: text },
  restart: { name: text },
  upgrade: { name: text, spec: text, base: path, wait: flag },
  mark: { name: text, text },
  events: { follow: flag },
  stop: {},
  offer: { socket },
  "hand-over": { pid: integer },
};

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
  const request = objectOf(line);
  if (isRequest(request)) return request;
  const wanted = "status, kill NAME, restart NAME, upgrade NAME, mark NAME, events or stop was wanted";
  throw new SkinkError("bad-request", `Cannot read a control request: ${JSON.stringify(line.slice(0, 80))}, ${wanted}`);
}

/** Throws a SkinkError `bad-reply` for what is none. */
export function parseReply(line: string): ControlReply {
  const reply = objectOf(line);
  if (isReply(reply)) return reply;
  throw new SkinkError("bad-reply", "Cannot read the reply on the control socket: it is not that of a Skink front");
}

/** Each field is what it has to be, and there are no others. */
function isRequest(object: Readonly<Record<string, unknown>>): object is ControlRequest {
  const { command, ...others } = object;
  if (typeof command !== "string" || !Object.hasOwn(FIELDS, command)) return false;
  const checks = Object.entries(FIELDS[command as ControlRequest["command"]]);
  return Object.keys(others).length === checks.length && checks.every(([name, check]) => check(others[name]));
}

/** Fields that a later front adds mean nothing. */
function isReply(object: Readonly<Record<string, unknown>>): object is ControlReply {
  const { ok, more, code, message } = object;
  if (ok === true) return more === undefined || more === true;
  return ok === false && text(code) && text(message);
}

/** Without any fields if the line is no object. */
function objectOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
