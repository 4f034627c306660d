import { SkinkError } from "../block/errors.ts";
import { durationUs, flag, optional, optionsFor, required, text, wholeNumber } from "../block/options.ts";
import {
  type CommandSource,
  DEFAULT_CONNECTIONS,
  MAX_CONNECTIONS,
  type RemoteSource,
  SOCKET_PLACE,
} from "../link/nbd/source.ts";
import { parseUri, type Target } from "../nbd/uri.ts";

/** A server whose connection broke in the network doesn't know of it yet, and goes on with what it has read. */
const DEFAULT_TCP_SETTLE_US = 1_000_000;

const connections = optional(wholeNumber(1, MAX_CONNECTIONS), DEFAULT_CONNECTIONS);
const waits = {
  connections,
  settle: optional(durationUs, undefined),
  exclusive: optional(flag, false),
};
const ofUri = optionsFor("nbd", waits);
const ofServer = optionsFor("nbd", { uri: required(text), ...waits });
const ofCommand = optionsFor("exec", { command: required(text), export: optional(text, ""), connections });

/** What the options of a server say, in bytes, microseconds and such. */
type Waits = ReturnType<typeof ofUri.parse>;

/**
 * A device on a server that somebody else runs: its URI, with options of ours beside the URI's own.
 *
 *   nbd://host/disk?connections=4&settle=2s    nbd+unix:///disk?socket=/run/x.sock&exclusive
 *
 * Throws `bad-uri` or `bad-option`.
 */
export function parseServerSpec(spec: string): RemoteSource {
  const { extra = {}, ...target } = parseUri(spec, Object.keys(waits));
  return remote(target, ofUri.parse({ ...extra }));
}

/** The long form. */
export function serverSpecOf(options: Readonly<Record<string, string>>): RemoteSource {
  const { uri, ...own } = ofServer.parse({ ...options });
  return remote(parseUri(uri), own);
}

/** A device on a server that is started by a command: everything after `exec:`, as it stands. Throws `bad-option`. */
export function commandSpecOf(options: Readonly<Record<string, string>>, folder: string): CommandSource {
  const { command, export: name, connections: count } = ofCommand.parse({ ...options });
  if (!command.includes(SOCKET_PLACE)) {
    throw new SkinkError(
      "bad-option",
      `Cannot start ${JSON.stringify(command)}: it has no ${SOCKET_PLACE}, where the server is to listen was wanted`,
    );
  }
  return { type: "command", command, folder, name, connections: count };
}

/** What to call a command: "nbdkit". */
export function commandName(command: string): string {
  const word = command.trim().split(/\s+/)[0] ?? "";
  return word.slice(word.lastIndexOf("/") + 1);
}

function remote(target: Target, { connections: count, settle, exclusive }: Waits): RemoteSource {
  // On this machine a connection lasts as long as its server: what it hasn't answered is waited for.
  const settleUs = settle ?? ("path" in target.address ? undefined : DEFAULT_TCP_SETTLE_US);
  return {
    type: "server",
    target,
    // A server that takes one client at a time lets us in when it has done with the connection before.
    connections: exclusive ? 1 : count,
    settleMs: exclusive ? 0 : settleUs === undefined ? undefined : Math.ceil(settleUs / 1000),
  };
}
