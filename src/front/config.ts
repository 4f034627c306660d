import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { SkinkError } from "../block/errors.ts";
import { nearest } from "../block/nearest.ts";
import type { TlsSettings } from "../nbd/tls/server-tls.ts";
import { configSchema, type DriverEntry, type HealthEntry, knownKeys, type TlsEntry } from "./config-schema.ts";
import { contradictions } from "./contradictions.ts";
import type { DeviceConfig } from "./device-config.ts";
import type { FrontConfig } from "./front.ts";
import type { HealthConfig } from "./health-check.ts";
import { parseHome } from "./home-spec.ts";
import { type DeviceSpec, parseSpec, specOf } from "./spec.ts";

const MAX_MISTAKES = 10;
/** The keys of what is run by a shell. */
const COMMANDS: readonly unknown[] = ["hook", "command"];

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
 *       shared: false                  # true: its store is locked against no other front
 *       limits: { pieces: 65536, writeBytes: 256M }
 *       policy: { heldTimeoutMs: 60000, restartBudget: 5 }
 *       standby: true                  # a spare driver host, ready to take over
 *       verify: digests                # reads are checked; or off
 *       home: disk:db.log?size=256M    # where the shadow lives; or memory, shm
 *       fallback: ./simple.ts?path=db.img    # or: { driver: ./simple.ts, options: { path: db.img } }
 *       hook: ./tell-somebody.sh       # a command that is run for each decision
 *       health: { command: ./check.sh, everyMs: 5000, timeoutMs: 2000, failures: 2 }    # or: module: check.ts
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
  const parsed = configSchema.safeParse(value);
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
    const attempt = <Value>(key: string, read: () => Value): Value | undefined => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof SkinkError)) throw error;
        mistake([...path, key], error.message);
        return undefined;
      }
    };
    const spec = attempt(entry.spec !== undefined ? "spec" : "driver", () => readSpec(entry, base));
    const { fallback, hook, health, verify, home } = entry;
    const settings = present({
      link: entry.link,
      readOnly: entry.readOnly,
      shared: entry.shared,
      standby: entry.standby,
      verify: verify === "off" ? undefined : verify,
      home: home === undefined ? undefined : attempt("home", () => parseHome(home, base)),
      limits: entry.limits && present(entry.limits),
      policy: entry.policy && present(entry.policy),
      fallback: fallback && attempt("fallback", () => readSpec(fallback, base)),
      hook: hook === undefined ? undefined : { command: hook, folder: base },
      health: health && attempt("health", () => readHealth(health, base)),
    });
    if (spec === undefined || (fallback !== undefined && settings.fallback === undefined)) continue;
    const config = { name: entry.name, spec, ...settings };
    devices.push(config);
    for (const { key, what } of contradictions(config)) mistake([...path, ...key], what);
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

function readSpec({ spec, driver, options }: DriverEntry, base: string): DeviceSpec {
  const what = (is: string): SkinkError => new SkinkError("bad-config", `${is}, spec or driver was wanted`);
  if (spec !== undefined && driver !== undefined) throw what("spec and driver are both there");
  if (spec !== undefined && options !== undefined) {
    throw new SkinkError("bad-config", "options are there beside spec, ?key=value in it or driver instead was wanted");
  }
  if (spec !== undefined) return parseSpec(spec, base);
  if (driver !== undefined) return specOf(driver, options ?? {}, base);
  throw what("neither is there");
}

function readHealth({ command, module, ...times }: HealthEntry, base: string): HealthConfig {
  const what = (is: string): SkinkError => new SkinkError("bad-config", `${is}, command or module was wanted`);
  if (command !== undefined && module !== undefined) throw what("command and module are both there");
  if (command !== undefined) return { check: { type: "command", command, folder: base }, ...times };
  if (module === undefined) throw what("neither is there");
  const path = resolve(base, module);
  if (!existsSync(path)) throw new SkinkError("bad-config", `there is no file ${path}, a module was wanted`);
  return { check: { type: "module", module: pathToFileURL(path).href }, ...times };
}

/** "expected" in the words of the file's reader. */
function wanted(issue: z.core.$ZodIssue, value: unknown): string {
  const is = value === undefined ? "it is missing" : `it is ${JSON.stringify(value)?.slice(0, 80)}`;
  const key = issue.path.at(-1);
  switch (issue.code) {
    case "invalid_type":
      if (key === "fallback") return `${is}, a spec or a mapping was wanted`;
      return `${is}, ${article(issue.expected)} was wanted`;
    case "invalid_value":
      return `${is}, ${issue.values.join(" or ")} was wanted`;
    case "too_small":
      if (issue.origin === "array") return "it is empty, at least one was wanted";
      if (issue.origin === "string")
        return `it is empty, ${COMMANDS.includes(key) ? "a command" : "a text"} was wanted`;
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
  { certificates, psk, verifyPeer }: TlsEntry,
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
