import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { SkinkError } from "../block/errors.ts";
import type { Target } from "../nbd/uri.ts";

/** What the kernel takes for its sectors, bytes. */
const BLOCK_SIZES = [512, 1024, 2048, 4096];
/**
 * After so long without a reply the kernel gives a connection up, and with it the request. The front answers every
 * request that it has taken, if need be with an error (`heldTimeoutMs`), so this only has to be longer than anybody
 * waits for an operator. No timeout at all would not do: with several connections the kernel then takes 30 seconds.
 */
const TIMEOUT_SECONDS = 24 * 60 * 60;
/** For TLS over a unix socket: the name that a server's certificate has to have, if nothing says another one. */
const LOCAL_HOSTNAME = "localhost";

/** An export, and what the kernel has to be told of it. */
export interface Attachment {
  readonly target: Target;
  /** Bytes. */
  readonly minimumBlockSize: number;
  readonly canMultiConn: boolean;
  readonly connections: number;
}

/**
 * The arguments by which `nbd-client` attaches an export to `device`. Throws `cannot-attach` for what the kernel or
 * `nbd-client` can't do. `act`, "attach x to y", is for messages.
 *
 * `-persist` asks for what is wanted, a new connection when the front is back; which versions give it is another matter
 * (docs/attach.md).
 */
export function attachArguments(act: string, attachment: Attachment, device: string): string[] {
  const { target, connections, canMultiConn } = attachment;
  if (connections > 1 && !canMultiConn) {
    throw refusal(act, "its server doesn't allow several connections", "--connections 1");
  }
  return [
    ...addressArguments(act, target),
    device,
    ...["-name", target.name],
    ...["-block-size", String(blockSize(act, attachment))],
    ...["-connections", String(connections)],
    ...["-timeout", String(TIMEOUT_SECONDS)],
    "-persist",
    ...tlsArguments(act, target),
  ];
}

/** The arguments by which `nbd-client` takes a device from the kernel. */
export function detachArguments(device: string): string[] {
  return ["-d", device];
}

/** Runs `nbd-client` to its end. Throws `no-nbd-client`, or `nbd-client-failed` with what it says. `act`: "attach x". */
export function runNbdClient(act: string, args: readonly string[]): void {
  const { error, status, signal, stderr } = spawnSync("nbd-client", args, {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (error !== undefined) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const what = missing ? "there is no nbd-client" : error.message;
    throw new SkinkError("no-nbd-client", `Cannot ${act}: ${what}, that of Debian's package nbd-client was wanted`);
  }
  if (status === 0) return;
  const said = stderr.split("\n").filter((line) => line !== "" && line !== "Exiting.");
  const what = said.length === 0 ? `nbd-client ended with ${signal ?? status}` : `nbd-client says: ${said.join("; ")}`;
  throw new SkinkError("nbd-client-failed", `Cannot ${act}: ${what}`);
}

function addressArguments(act: string, { address }: Target): string[] {
  if ("host" in address) return [address.host, String(address.port)];
  const { path } = address;
  if (path.startsWith("\0")) throw refusal(act, "its socket has an abstract name", "one with a path, or TCP,");
  // nbd-client looks for options of an old form in whatever isn't one of the new.
  if (path.includes("=")) throw refusal(act, "its socket's path has a = in it", "a path without one");
  return ["-unix", resolve(path)];
}

function blockSize(act: string, { minimumBlockSize }: Attachment): number {
  // A server that takes any byte is content with sectors, too.
  const found = BLOCK_SIZES.find((size) => size >= minimumBlockSize);
  if (found !== undefined) return found;
  throw refusal(act, `its blocks have ${minimumBlockSize} bytes`, `at most ${BLOCK_SIZES.at(-1)}`);
}

/** `nbd-client` checks the server's certificate only where it has both the authority's and a name. */
function tlsArguments(act: string, { address, tls }: Target): string[] {
  if (tls === undefined) return [];
  const { certificates, hostname = "host" in address ? address.host : LOCAL_HOSTNAME } = tls;
  if (certificates === undefined) {
    throw refusal(act, "it is served over TLS, and nbd-client has no pre-shared keys", "--tls-certificates FOLDER");
  }
  const identity = [
    "-certfile",
    join(certificates, "client-cert.pem"),
    "-keyfile",
    join(certificates, "client-key.pem"),
  ];
  return [
    ...["-cacertfile", join(certificates, "ca-cert.pem")],
    // Many servers want none.
    ...(existsSync(join(certificates, "client-cert.pem")) ? identity : []),
    ...["-tlshostname", hostname],
  ];
}

function refusal(act: string, what: string, wanted: string): SkinkError {
  return new SkinkError("cannot-attach", `Cannot ${act}: ${what}, ${wanted} was wanted`);
}
