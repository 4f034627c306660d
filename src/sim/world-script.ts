import { FAULTS, type FaultList } from "./fates.ts";
import { type Profile, plainProfile } from "./profile.ts";
import type { ClientScript, ScriptedRequest } from "./program.ts";
import type { Draft } from "./sim-client.ts";
import { type Outcome, runWorld } from "./world.ts";

/** A world with nothing left to be drawn that matters: a plain value, as JSON has them. */
export interface WorldScript {
  /** Of delays and orders. */
  readonly seed: number;
  /** Its clients are those of the script. */
  readonly profile: Profile;
  readonly clients: readonly ClientScript[];
  /** What comes true; by chance, as the profile has it, if left out. */
  readonly faults?: FaultList;
}

export function runScript(script: WorldScript, recording = false): Outcome {
  return runWorld({ ...script, recording });
}

/** The same world, with what came of chance spelled out. */
export function scriptOf(seed: number, profile: Profile): WorldScript {
  const { played } = runWorld({ seed, profile });
  return { seed, profile: { ...profile, clients: [] }, ...played };
}

/** Requests of all clients together. */
export function requestsOf({ clients }: WorldScript): number {
  return clients.reduce((sum, { requests }) => sum + requests.length, 0);
}

/** For people: who sends what, what goes wrong, and what else is not as it is in a plain world. */
export function describeScript(script: WorldScript): string[] {
  const { seed, profile, clients, faults } = script;
  const { sectors, blockSize } = profile;
  const lines = [`seed ${seed}, ${sectors} sectors of ${blockSize} bytes, ${requestsOf(script)} requests`];
  clients.forEach(({ depth, thinkMs, requests }, i) => {
    lines.push(`client ${i + 1}, ${depth} at once${thinkMs > 0 ? `, ${thinkMs} ms apart at most` : ""}:`);
    for (const request of requests) lines.push(`  ${describeRequest(request)}`);
  });
  if (faults === undefined) lines.push("faults: by chance");
  else {
    const told = FAULTS.flatMap((fault) => (faults[fault] ?? []).map((time) => `${fault} (chance ${time})`));
    lines.push(`faults: ${told.join(", ") || "none"}`);
  }
  const odd = differences(profile, plainProfile(profile)).filter(({ path }) => path[0] !== "clients");
  for (const { path, value } of odd) lines.push(`${path.join(".")}: ${JSON.stringify(value)}`);
  return lines;
}

function describeRequest(request: ScriptedRequest): string {
  const { kind, first, count, fua, mayTrim, fast, hangsUp, stopsReadingMs } = request;
  return [
    fua === true ? "FUA" : "",
    fast === true ? "fast" : "",
    kind,
    kind === "flush" ? "" : `[${first}, ${first + count})`,
    mayTrim === true ? "may trim" : "",
    hangsUp === true ? "and hangs up" : "",
    stopsReadingMs === undefined ? "" : `and does not read for ${stopsReadingMs} ms`,
  ]
    .filter((word) => word !== "")
    .join(" ");
}

export interface Difference {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly plain: unknown;
}

/** Where two plain values differ, leaf by leaf; a whole subtree where one of them has none. */
export function differences(value: unknown, plain: unknown, path: readonly string[] = []): Difference[] {
  if (JSON.stringify(value) === JSON.stringify(plain)) return [];
  if (!isObject(value) || !isObject(plain)) return [{ path, value, plain }];
  const keys = new Set([...Object.keys(value), ...Object.keys(plain)]);
  return [...keys].flatMap((key) => differences(value[key], plain[key], [...path, key]));
}

/** The same value with another one at `path`. */
export function replaced<T>(value: T, [key, ...rest]: readonly string[], by: unknown): T {
  if (key === undefined) return by as T;
  const copy = { ...(value as Record<string, unknown>) };
  if (by === undefined && rest.length === 0) delete copy[key];
  else copy[key] = replaced(copy[key], rest, by);
  return copy as T;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A request without anything remarkable. */
export function plainDraft({ kind, first, count }: Draft): Draft {
  return { kind, first, count };
}
