import type { Target } from "../../nbd/uri.ts";

/** Connections to a server that can flush them all at once. */
export const DEFAULT_CONNECTIONS = 2;
export const MAX_CONNECTIONS = 16;

/** What a command names its socket by. */
export const SOCKET_PLACE = "{socket}";

/** Which server: what incarnations of a device talk to. */
export type NbdSource = RemoteSource | CommandSource;

/** A server that somebody else runs. */
export interface RemoteSource {
  readonly type: "server";
  readonly target: Target;
  readonly connections: number;
  /**
   * How long it may still be busy with writes that it hasn't answered, on a connection that is over. If left out, none is
   * given up for them: they are waited for until they are answered, or the server has closed the connection.
   */
  readonly settleMs: number | undefined;
}

/** A server that we start. */
export interface CommandSource {
  readonly type: "command";
  /** A line for the shell, with SOCKET_PLACE in it. */
  readonly command: string;
  /** The folder in which it runs. */
  readonly folder: string;
  /** The export; empty for the default one. */
  readonly name: string;
  readonly connections: number;
}
