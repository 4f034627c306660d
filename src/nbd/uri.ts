import { SkinkError } from "../block/errors.ts";

const DEFAULT_PORT = 10809;

/** Where a server listens. */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** An export of a server. */
export interface Target {
  readonly address: Address;
  /** Empty for the default export. */
  readonly name: string;
}

/**
 * `nbd+unix:///name?socket=path` or `nbd://host:port/name`. Source: doc/uri.md of the nbd project.
 * Throws `bad-uri`.
 */
export function parseUri(text: string): Target {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw bad(text, "it is not a URI");
  }
  const name = decodeName(url.pathname);
  if (name === undefined) throw bad(text, "its name is not UTF-8");
  if (url.protocol === "nbd+unix:") {
    const path = url.searchParams.get("socket");
    if (path === null || path === "") throw bad(text, "it names no socket");
    return { address: { path }, name };
  }
  if (url.protocol !== "nbd:") throw bad(text, `its scheme is ${url.protocol.slice(0, -1)}`);
  if (url.hostname === "") throw bad(text, "it names no host");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { address: { host, port: url.port === "" ? DEFAULT_PORT : Number(url.port) }, name };
}

export function formatUri({ address, name }: Target): string {
  const path = encodeURIComponent(name);
  // A socket's path stays readable: only what ends or changes a query is escaped.
  if ("path" in address) return `nbd+unix:///${path}?socket=${encodeURIComponent(address.path).replaceAll("%2F", "/")}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `nbd://${host}:${address.port}/${path}`;
}

/** "socket /run/x.sock" or "127.0.0.1:10809": for messages. */
export function describeAddress(address: Address): string {
  return "path" in address ? `socket ${address.path}` : `${address.host}:${address.port}`;
}

function decodeName(path: string): string | undefined {
  try {
    return decodeURIComponent(path.replace(/^\//, ""));
  } catch {
    return undefined;
  }
}

function bad(text: string, what: string): SkinkError {
  return new SkinkError(
    "bad-uri",
    `Cannot use NBD URI ${text}: ${what}, wanted nbd://host:port/name or nbd+unix:///name?socket=path`,
  );
}
