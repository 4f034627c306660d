import { SkinkError } from "../block/errors.ts";

const DEFAULT_PORT = 10809;
const MAX_PORT = 65535;

/** Where a server listens. A path that begins with a zero byte is a name in Linux' abstract namespace, not a file. */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** How to do TLS with a server, as a URI says it: no file is looked at before it is connected to. */
export interface TlsParameters {
  /** How the two prove who they are; where it is left out, by keys if there is a file of keys, else by certificates. */
  readonly type?: "x509" | "psk";
  /** A folder of certificates. */
  readonly certificates?: string;
  /** A file of pre-shared keys. */
  readonly pskFile?: string;
  /** The name that the server's certificate has to have; the host of the address if left out. */
  readonly hostname?: string;
  /** Whether the server's certificate is checked: yes if left out. */
  readonly verifyPeer?: boolean;
  /** Whose pre-shared key is used; that of the user of this process if left out. */
  readonly username?: string;
}

/** An export of a server. */
export interface Target {
  readonly address: Address;
  /** Empty for the default export. */
  readonly name: string;
  /** There where the connection has to be encrypted. */
  readonly tls?: TlsParameters;
  /** The parameters that are the business of whoever asked for them; there where one of them is. */
  readonly extra?: Readonly<Record<string, string>>;
}

const SCHEMES = new Map([
  ["nbd", { unix: false, tls: false }],
  ["nbds", { unix: false, tls: true }],
  ["nbd+unix", { unix: true, tls: false }],
  ["nbds+unix", { unix: true, tls: true }],
]);
const TLS_NAMES = ["tls-type", "tls-certificates", "tls-psk-file", "tls-hostname", "tls-verify-peer", "tls-username"];

/** RFC 3986, appendix B, with an authority that is split too; its parts are not decoded. */
const URI = new RegExp(
  /^(?<scheme>[a-z][a-z0-9+.-]*):/.source +
    /(?:\/\/(?:(?<user>[^/?#@]*)@)?(?<host>\[[^\]/?#]*\]|[^:/?#@]*)(?::(?<port>[^/?#@]*))?(?=[/?#]|$))?/.source +
    /(?<path>[^?#]*)(?:\?(?<query>[^#]*))?(?<fragment>#.*)?$/.source,
  "is",
);

/**
 * Reads the URI of an export:
 *
 *   nbd://host:port/name                nbds://user@host:port/name           encrypted
 *   nbd+unix:///name?socket=path        nbds+unix:///name?socket=path        "%00name": an abstract socket
 *
 * Those with TLS may have the parameters tls-type (x509 or psk), tls-certificates (a folder), tls-psk-file, tls-hostname,
 * tls-verify-peer (0 or 1) and tls-username. Parameters named in `extra` are returned as they are; others are refused.
 * Source: doc/uri.md of the nbd project; libnbd's names for files. Throws `bad-uri`.
 */
export function parseUri(text: string, extra: readonly string[] = []): Target {
  const { scheme = "", user, host = "", port, path = "", query = "", fragment } = URI.exec(text)?.groups ?? {};
  if (scheme === "") throw bad(text, "it is not a URI");
  const kind = SCHEMES.get(scheme.toLowerCase());
  if (kind === undefined) throw bad(text, `its scheme is ${scheme}`);
  if (fragment !== undefined) throw bad(text, "it has a fragment, which %23 in place of # would not be");
  const parameters = parseQuery(text, query, ["socket", ...TLS_NAMES, ...extra]);
  const name = decoded(text, path.replace(/^\//, ""));
  if (name.includes("\0")) throw bad(text, "its name has a zero byte");
  const address = kind.unix ? socketOf(text, host, port, parameters) : hostOf(text, host, port, parameters);
  const tls = tlsOf(text, user, parameters);
  if (!kind.tls && Object.keys(tls).length > 0) throw bad(text, `${scheme} is without TLS, and it has a user or tls-…`);
  const others = [...parameters].filter(([key]) => extra.includes(key));
  return {
    address,
    name,
    ...(kind.tls ? { tls } : {}),
    ...(others.length > 0 ? { extra: Object.fromEntries(others) } : {}),
  };
}

export function formatUri({ address, name, tls, extra = {} }: Target): string {
  const isUnix = "path" in address;
  const scheme = `${tls === undefined ? "nbd" : "nbds"}${isUnix ? "+unix" : ""}`;
  const parameters: [string, string | undefined][] = [
    ["socket", isUnix ? address.path : undefined],
    ["tls-type", tls?.type],
    ["tls-certificates", tls?.certificates],
    ["tls-psk-file", tls?.pskFile],
    ["tls-hostname", tls?.hostname],
    ["tls-verify-peer", tls?.verifyPeer === undefined ? undefined : String(Number(tls.verifyPeer))],
    ["tls-username", tls?.username],
    ...Object.entries(extra),
  ];
  const query = parameters.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${encodedValue(value)}`]));
  const authority = isUnix ? "" : `${bracketed(address.host)}:${address.port}`;
  return `${scheme}://${authority}/${encodeURIComponent(name)}${query.length === 0 ? "" : `?${query.join("&")}`}`;
}

/** "socket /run/x.sock" or "127.0.0.1:10809": for messages. */
export function describeAddress(address: Address): string {
  // An abstract name as ss and other tools write it.
  return "path" in address ? `socket ${address.path.replace(/^\0/, "@")}` : `${address.host}:${address.port}`;
}

function socketOf(text: string, host: string, port: string | undefined, parameters: Map<string, string>): Address {
  if (host !== "" || port !== undefined) throw bad(text, "it names a host beside a socket");
  const path = parameters.get("socket");
  if (path === undefined || path === "") throw bad(text, "it names no socket");
  if (path.indexOf("\0", 1) > 0) throw bad(text, "its socket's path has a zero byte");
  return { path };
}

function hostOf(text: string, host: string, port: string | undefined, parameters: Map<string, string>): Address {
  if (host === "") throw bad(text, "it names no host");
  if (parameters.has("socket")) throw bad(text, "it names a socket beside a host");
  const number = port === undefined || port === "" ? DEFAULT_PORT : Number(port);
  if (!/^\d*$/.test(port ?? "") || number < 1 || number > MAX_PORT) throw bad(text, `its port is ${port}`);
  return { host: decoded(text, host.replace(/^\[(.*)\]$/, "$1")), port: number };
}

function tlsOf(text: string, user: string | undefined, parameters: Map<string, string>): TlsParameters {
  const type = parameters.get("tls-type");
  if (type === "anon") throw bad(text, "its tls-type is anon, TLS that anybody may listen to");
  if (type !== undefined && type !== "x509" && type !== "psk") throw bad(text, `its tls-type is ${type}`);
  const verify = parameters.get("tls-verify-peer");
  if (verify !== undefined && verify !== "0" && verify !== "1") throw bad(text, `its tls-verify-peer is ${verify}`);
  // The password itself is not for messages.
  if (user?.includes(":")) throw bad(text.replace(user, user.replace(/:.*/s, ":…")), "it has a password");
  if (user !== undefined && parameters.has("tls-username")) throw bad(text, "it names two users");
  const [certificates, pskFile] = [parameters.get("tls-certificates"), parameters.get("tls-psk-file")];
  const hostname = parameters.get("tls-hostname");
  const username = user === undefined ? parameters.get("tls-username") : decoded(text, user);
  return {
    ...(type === undefined ? {} : { type }),
    ...(certificates === undefined ? {} : { certificates }),
    ...(pskFile === undefined ? {} : { pskFile }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(verify === undefined ? {} : { verifyPeer: verify === "1" }),
    ...(username === undefined ? {} : { username }),
  };
}

/** Not as in forms: a plus sign is a plus sign. */
function parseQuery(text: string, query: string, known: readonly string[]): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const part of query.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const key = decoded(text, equals === -1 ? part : part.slice(0, equals));
    if (!known.includes(key)) throw bad(text, `nothing is known of its parameter ${JSON.stringify(key)}`);
    if (parameters.has(key)) throw bad(text, `it has ${key} twice`);
    parameters.set(key, equals === -1 ? "" : decoded(text, part.slice(equals + 1)));
  }
  return parameters;
}

function decoded(text: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw bad(text, `${JSON.stringify(part)} in it is not UTF-8, percent-encoded`);
  }
}

/** Paths stay readable: only what ends or changes a query is escaped. */
function encodedValue(value: string): string {
  return encodeURIComponent(value).replaceAll("%2F", "/");
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function bad(text: string, what: string): SkinkError {
  const wanted = "nbd://host:port/name or nbd+unix:///name?socket=path, with nbds for TLS,";
  const line = text.replace(/\p{Cc}/gu, "?");
  return new SkinkError("bad-uri", `Cannot use NBD URI ${line}: ${what}, ${wanted} was wanted`);
}
