import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { SkinkError } from "../block/errors.ts";
import { nearest } from "../block/nearest.ts";
import { parseSize } from "../block/size.ts";
import type { ArenaLimits } from "../link/shared-arenas.ts";
import type { TlsSettings } from "../nbd/tls/server-tls.ts";
import { MAX_STRING_BYTES } from "../nbd/wire/protocol.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import type { Policy } from "../supervisor/policy.ts";
import type { FrontConfig } from "./front.ts";
import type { DeviceConfig } from "./served-device.ts";
import { type DeviceSpec, parseSpec, specOf } from "./spec.ts";

const MAX_MISTAKES = 10;

const milliseconds = z.number().int().positive();
/** Bytes, as a number or as a text such as 256M. */
const size = z.union([z.number().int().positive(), z.string()]).transform((value, context) => {
  try {
    return typeof value === "number" ? value : parseSize(value);
  } catch {
    context.addIssue({ code: "custom", message: "no size, such as 256M" });
    return z.NEVER;
  }
});

const limits = z.strictObject({
  pieces: z.number().int().positive(),
  flushShare: z.number().positive().max(1),
  cheapFlushBytes: size,
  flushAgeMs: milliseconds,
  flushRetryMs: milliseconds,
  stallTimeoutMs: milliseconds,
  writeBytes: size,
  readBytes: size,
} satisfies Record<keyof (DeviceLimits & ArenaLimits), z.ZodType>);

const policy = z.strictObject({
  openTimeoutMs: milliseconds,
  reapTimeoutMs: milliseconds,
  heldTimeoutMs: milliseconds,
  restartDelayMs: milliseconds,
  maxRestartDelayMs: milliseconds,
  stopTimeoutMs: milliseconds,
} satisfies Record<keyof Policy, z.ZodType>);

const device = z.strictObject({
  name: z
    .string()
    .min(1)
    .refine((name) => Buffer.byteLength(name) <= MAX_STRING_BYTES, `longer than ${MAX_STRING_BYTES} bytes`),
  spec: z.string().optional(),
  driver: z.string().optional(),
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).optional(),
  link: z.enum(["process", "inline"]).optional(),
  readOnly: z.boolean().optional(),
  limits: limits.partial().optional(),
  policy: policy.partial().optional(),
});

const tls = z.strictObject({
  mode: z.enum(["off", "on", "required"]).default("required"),
  certificates: z.string().min(1).optional(),
  psk: z.string().min(1).optional(),
  verifyPeer: z.boolean().optional(),
});

const schema = z.strictObject({
  devices: z.array(device).min(1),
  listen: z
    .strictObject({
      socket: z.string().min(1).optional(),
      port: z.number().int().min(0).max(65535).optional(),
      host: z.string().min(1).optional(),
    })
    .default({}),
  tls: tls.optional(),
  control: z.string().min(1).optional(),
});

type Path = readonly (string | number)[];

/** Reads the configuration in `file`: see {@link parseConfig}. Throws `bad-config`. */
export function readConfig(file: string): FrontConfig {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const is = code === "ENOENT" ? "there is no such file" : code;
    throw new SkinkError("bad-config", `Cannot read ${file}: ${is}, a configuration was wanted`, { cause: error });
  }
  return parseConfig(text, file);
}

/**
 * Reads a configuration, YAML:
 *
 *   devices:
 *     - name: db
 *       spec: file:db.img?size=10G     # or: driver: file, options: { path: db.img, size: 10G }
 *       link: process                  # or inline
 *       readOnly: false
 *       limits: { pieces: 65536, writeBytes: 256M }
 *       policy: { heldTimeoutMs: 60000 }
 *   listen: { socket: skink.sock }     # and, or: port: 10809, host: 127.0.0.1
 *   tls: { certificates: pki, psk: keys.psk, verifyPeer: true }     # and mode: off, on, or required, the default
 *   control: control.sock
 *
 * `file` is its path: relative paths in it start at its folder. Throws `bad-config` with a line for each mistake, up to
 * MAX_MISTAKES: "skink.yaml:3: devices[0].spec: …".
 */
export function parseConfig(text: string, file: string): FrontConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const mistakes: string[] = [];
  const mistake = (path: Path, what: string): void => {
    const range = rangeOf(document, path);
    mistakes.push(`${file}${range === undefined ? "" : `:${lineAt(range)}`}: ${nameOf(path)}${what}`);
  };

  for (const error of document.errors) mistakes.push(`${file}:${lineAt(error.pos[0])}: ${error.message}`);
  if (mistakes.length > 0) throw badConfig(mistakes);
  const value = plainValue(document, file);
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const path = issue.path.filter((key) => typeof key !== "symbol");
      if (issue.code === "unrecognized_keys") {
        for (const key of issue.keys) mistake([...path, key], unknownKey(key, path));
      } else {
        mistake(path, wanted(issue, valueAt(value, path)));
      }
    }
    throw badConfig(mistakes);
  }

  const base = dirname(resolve(file));
  const { listen, tls, control } = parsed.data;
  const devices: DeviceConfig[] = [];
  const names = new Set<string>();
  for (const [index, entry] of parsed.data.devices.entries()) {
    const path = ["devices", index];
    if (names.has(entry.name)) mistake([...path, "name"], `${entry.name} is there twice, a name of its own was wanted`);
    names.add(entry.name);
    try {
      const spec = readSpec(entry, base);
      if (entry.link !== undefined && spec.source.type !== "module") {
        mistake([...path, "link"], `it is beside ${spec.kind}, an NBD server, no link was wanted`);
      }
      devices.push({
        name: entry.name,
        spec,
        ...present({ link: entry.link, readOnly: entry.readOnly }),
        ...(entry.limits === undefined ? {} : { limits: present(entry.limits) }),
        ...(entry.policy === undefined ? {} : { policy: present(entry.policy) }),
      });
    } catch (error) {
      if (!(error instanceof SkinkError)) throw error;
      mistake(entry.spec !== undefined ? [...path, "spec"] : [...path, "driver"], error.message);
    }
  }
  if (listen.host !== undefined && listen.port === undefined) {
    mistake(["listen"], "it has a host and no port, both were wanted");
  }
  if (tls !== undefined && tls.mode !== "off" && tls.certificates === undefined) {
    if (tls.psk === undefined) mistake(["tls"], "it has neither certificates nor psk, one of them was wanted");
    else if (tls.verifyPeer) mistake(["tls"], "it has verifyPeer and no certificates, both were wanted");
  }
  if (mistakes.length > 0) throw badConfig(mistakes);
  return {
    devices,
    listen: { ...present(listen), ...(listen.socket === undefined ? {} : { socket: resolve(base, listen.socket) }) },
    ...(tls === undefined || tls.mode === "off" ? {} : { tls: tlsSettings(tls, tls.mode, base) }),
    ...(control === undefined ? {} : { control: resolve(base, control) }),
  };
}

function plainValue(document: ReturnType<typeof parseDocument>, file: string): unknown {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    // Aliases without an end, which expand to more than any configuration has.
    throw badConfig([`${file}: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

function readSpec({ spec, driver, options }: z.infer<typeof device>, base: string): DeviceSpec {
  const what = (is: string): SkinkError => new SkinkError("bad-config", `${is}, spec or driver was wanted`);
  if (spec !== undefined && driver !== undefined) throw what("spec and driver are both there");
  if (spec !== undefined && options !== undefined) {
    throw new SkinkError("bad-config", "options are there beside spec, ?key=value in it or driver instead was wanted");
  }
  if (spec !== undefined) return parseSpec(spec, base);
  if (driver !== undefined) return specOf(driver, options ?? {}, base);
  throw what("neither is there");
}

/** "expected" in the words of the file's reader. */
function wanted(issue: z.core.$ZodIssue, value: unknown): string {
  const is = value === undefined ? "it is missing" : `it is ${JSON.stringify(value)?.slice(0, 80)}`;
  switch (issue.code) {
    case "invalid_type":
      return `${is}, ${article(issue.expected)} was wanted`;
    case "invalid_value":
      return `${is}, ${issue.values.join(" or ")} was wanted`;
    case "too_small":
      if (issue.origin === "string" || issue.origin === "array") return "it is empty, at least one was wanted";
      return `${is}, ${issue.inclusive === true ? "at least" : "more than"} ${issue.minimum} was wanted`;
    case "too_big":
      return `${is}, at most ${issue.maximum} was wanted`;
    case "invalid_union":
      return `${is}, a text, number, true or false was wanted`;
    default:
      return `it is ${issue.message}`;
  }
}

function article(type: string): string {
  const words: Record<string, string> = {
    int: "a whole number",
    string: "a text",
    boolean: "true or false",
    array: "a list",
    object: "a mapping",
    record: "a mapping",
  };
  return words[type] ?? `a ${type}`;
}

function unknownKey(key: string, path: Path): string {
  const known = knownKeys(path);
  const meant = nearest(key, known);
  return `there is no such key, ${meant === undefined ? `one of ${known.join(", ")} was wanted` : `was ${meant} meant?`}`;
}

function knownKeys(path: Path): string[] {
  switch (path.at(-1)) {
    case undefined:
      return Object.keys(schema.shape);
    case "listen":
      return ["socket", "port", "host"];
    case "tls":
      return Object.keys(tls.shape);
    case "limits":
      return Object.keys(limits.shape);
    case "policy":
      return Object.keys(policy.shape);
    default:
      return Object.keys(device.shape);
  }
}

/** Where the node at `path`, or the nearest one above it that exists, begins in the text. */
function rangeOf(document: ReturnType<typeof parseDocument>, path: Path): number | undefined {
  for (let depth = path.length; depth >= 0; depth--) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    if (typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range)) {
      return node.range[0] as number;
    }
  }
  return undefined;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string | number, unknown> | undefined)?.[key], value);
}

/** "devices[0].spec: "; nothing for the whole file. */
function nameOf(path: Path): string {
  const name = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
  return name === "" ? "" : `${name.replace(/^\./, "")}: `;
}

function tlsSettings(
  { certificates, psk, verifyPeer }: z.infer<typeof tls>,
  mode: TlsSettings["mode"],
  base: string,
): TlsSettings {
  return {
    mode,
    ...(certificates === undefined ? {} : { certificates: resolve(base, certificates) }),
    ...(psk === undefined ? {} : { psk: resolve(base, psk) }),
    ...present({ verifyPeer }),
  };
}

/** Without the keys that are there and undefined. */
function present<T extends object>(values: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]: Exclude<T[Key], undefined> };
}

function badConfig(mistakes: readonly string[]): SkinkError {
  return new SkinkError("bad-config", mistakes.slice(0, MAX_MISTAKES).join("\n"));
}
