import { existsSync, statSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SkinkError } from "../block/errors.ts";
import { nearest } from "../block/nearest.ts";
import type { CommandSource, RemoteSource } from "../link/nbd/source.ts";
import { commandName, commandSpecOf, parseServerSpec, serverSpecOf } from "./server-spec.ts";

/** What a device is made of. */
export interface DeviceSpec {
  /** "memory", the file name of a driver module, "nbd", "exec:nbdkit": for people to read. */
  readonly kind: string;
  readonly source: ModuleSource | RemoteSource | CommandSource;
}

/** A driver of ours, built in or not. */
export interface ModuleSource {
  readonly type: "module";
  /** A file URL. */
  readonly module: string;
  /** As they were given; the driver checks them. */
  readonly options: Record<string, string>;
}

/** The built-in drivers: where each one's module is, and which of its options stands before the "?". */
const BUILT_IN: Record<string, { readonly module: string; readonly main: string }> = {
  memory: { module: "../drivers/memory", main: "size" },
  null: { module: "../drivers/null/null", main: "size" },
  file: { module: "../drivers/file/file", main: "path" },
};
const MODULE_EXTENSIONS = [".ts", ".mts", ".js", ".mjs"];
const KNOWN = "memory:SIZE, null:SIZE, file:PATH, ./DRIVER.ts, an NBD URI or exec:COMMAND";
/** Drivers that are NBD servers. */
const SERVERS = ["nbd", "exec"];

/**
 * Reads a device spec:
 *
 *   memory:256M   null:1G?latency=5ms   file:disk.img?size=10G   ./my-driver.ts?key=value   file:///srv/driver.mjs
 *   nbd://host/disk   nbd+unix:///disk?socket=/run/x.sock   exec:nbdkit -f -U {socket} file disk.img
 *
 * A command is taken as it stands. Of all others: what stands before the "?" and the values are percent-decoded. Relative
 * paths start at the folder `base`. Throws `bad-spec`; whether the options make sense is for the driver to say.
 */
export function parseSpec(text: string, base: string = process.cwd()): DeviceSpec {
  const server = /^(nbds?(?:\+\w+)?|exec):(.*)$/is.exec(text);
  if (server !== null) return serverSpec(text, server[1]?.toLowerCase() === "exec" ? server[2] : undefined, base);
  const [, body, query] = /^([^?]*)(?:\?(.*))?$/s.exec(text) as unknown as [string, string, string | undefined];
  const options = parseOptions(text, query ?? "");
  if (body === "") throw badSpec(text, `it is empty, ${KNOWN} was wanted`);
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(body)?.[1]?.toLowerCase();
  if (scheme === "file" && body.slice("file:".length).startsWith("//")) {
    const path = pathOfUrl(text, body);
    return isModule(path) ? moduleSpec(text, path, options) : fileSpec(text, path, base, options);
  }
  const rest = scheme === undefined ? body : body.slice(scheme.length + 1);
  if (scheme === "file") return fileSpec(text, decoded(text, rest), base, options);
  if (scheme !== undefined && Object.hasOwn(BUILT_IN, scheme)) {
    return builtIn(text, scheme, decoded(text, rest), options);
  }
  if (scheme !== undefined) throw badSpec(text, unknownScheme(scheme));
  const path = decoded(text, body);
  if (isModule(path)) return moduleSpec(text, resolve(base, path), options);
  throw badSpec(text, unknownWord(body));
}

/** The spec of a driver given by name or module, with its options apart: the long form of a configuration file. */
export function specOf(driver: string, options: Readonly<Record<string, string>>, base: string): DeviceSpec {
  if (driver === "nbd") return { kind: "nbd", source: serverSpecOf(options) };
  if (driver === "exec") return commandSpec(options, base);
  const url = driver.startsWith("file://");
  if (!url && !isModule(driver)) {
    if (!Object.hasOwn(BUILT_IN, driver)) throw badSpec(driver, unknownWord(driver));
    const { path } = options;
    const resolved = driver === "file" && path !== undefined ? { ...options, path: resolve(base, path) } : options;
    return builtInSpec(driver, { ...resolved });
  }
  return moduleSpec(driver, url ? pathOfUrl(driver, driver) : resolve(base, driver), { ...options });
}

function builtIn(text: string, kind: string, body: string, options: Record<string, string>): DeviceSpec {
  const main = BUILT_IN[kind]?.main as string;
  if (body === "" && !Object.hasOwn(options, main)) {
    throw badSpec(text, `${main} is missing, ${kind}:${main.toUpperCase()} was wanted`);
  }
  if (body === "") return builtInSpec(kind, options);
  if (Object.hasOwn(options, main)) throw badSpec(text, `${main} is given twice, once was wanted`);
  return builtInSpec(kind, { [main]: body, ...options });
}

function fileSpec(text: string, path: string, base: string, options: Record<string, string>): DeviceSpec {
  return builtIn(text, "file", path === "" ? "" : resolve(base, path), options);
}

function moduleSpec(text: string, path: string, options: Record<string, string>): DeviceSpec {
  if (!existsSync(path)) throw badSpec(text, `there is no file ${path}, a driver module was wanted`);
  if (!statSync(path).isFile()) throw badSpec(text, `${path} is not a file, a driver module was wanted`);
  return { kind: basename(path), source: { type: "module", module: pathToFileURL(path).href, options } };
}

function serverSpec(text: string, command: string | undefined, base: string): DeviceSpec {
  try {
    if (command !== undefined) return commandSpec({ command: command.trim() }, base);
    return { kind: "nbd", source: parseServerSpec(text) };
  } catch (error) {
    if (!(error instanceof SkinkError)) throw error;
    throw badSpec(text, error.message.replace(/^Cannot [^:]*: /, ""));
  }
}

function commandSpec(options: Readonly<Record<string, string>>, base: string): DeviceSpec {
  const source = commandSpecOf(options, base);
  return { kind: `exec:${commandName(source.command)}`, source };
}

function builtInSpec(kind: string, options: Record<string, string>): DeviceSpec {
  return { kind, source: { type: "module", module: builtInModule(kind), options } };
}

/** Beside the sources in a checkout (.ts), beside the built files in the package (.js). */
function builtInModule(kind: string): string {
  return new URL(`${BUILT_IN[kind]?.module}${extname(import.meta.url)}`, import.meta.url).href;
}

function isModule(path: string): boolean {
  return MODULE_EXTENSIONS.includes(extname(path));
}

function parseOptions(text: string, query: string): Record<string, string> {
  const options: Record<string, string> = {};
  for (const part of query.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const key = decoded(text, equals === -1 ? part : part.slice(0, equals));
    if (key === "") throw badSpec(text, `${JSON.stringify(part)} has no name, key=value was wanted`);
    if (Object.hasOwn(options, key)) throw badSpec(text, `option ${key} is given twice, once was wanted`);
    // Defined, not assigned: "__proto__" is a name like any other.
    const value = equals === -1 ? "" : decoded(text, part.slice(equals + 1));
    Object.defineProperty(options, key, { value, enumerable: true, writable: true, configurable: true });
  }
  return options;
}

function decoded(text: string, part: string): string {
  let plain: string | undefined;
  try {
    plain = decodeURIComponent(part);
  } catch {
    // What is left is malformed.
  }
  if (plain === undefined) throw badSpec(text, `${part} is not percent-encoded, %25 for a percent sign was wanted`);
  if (plain.includes("\0")) throw badSpec(text, "it has a zero byte, text was wanted");
  return plain;
}

function pathOfUrl(text: string, url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw badSpec(text, "it is no URL of a file here, file:///PATH was wanted");
  }
}

function unknownScheme(scheme: string): string {
  const meant = nearest(scheme, [...Object.keys(BUILT_IN), ...SERVERS]);
  return `there is no driver ${scheme}, ${meant === undefined ? `${KNOWN} was wanted` : `was ${meant}: meant?`}`;
}

function unknownWord(word: string): string {
  const meant = nearest(word, Object.keys(BUILT_IN));
  if (meant !== undefined) return `it names no driver, was ${meant}:${BUILT_IN[meant]?.main.toUpperCase()} meant?`;
  return `it names no driver, ${KNOWN} was wanted`;
}

function badSpec(text: string, what: string): SkinkError {
  return new SkinkError("bad-spec", `Cannot serve ${JSON.stringify(text)}: ${what}`);
}
