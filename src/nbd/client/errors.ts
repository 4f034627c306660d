import { errnoName, isErrno, SkinkError } from "../../block/errors.ts";

/**
 * The codes of the errors that a client rejects with, beside those of {@link NbdRequestError}, which are the names of error
 * numbers. What they mean is in docs/client.md.
 */
export const NBD_ERROR_CODES = [
  "bad-uri",
  "bad-tls",
  "bad-credentials",
  "bad-request",
  "cannot-connect",
  "tls-required",
  "tls-failed",
  "unknown-export",
  "refused-export",
  "changed-export",
  "bad-server",
  "disconnected",
] as const;

export type NbdErrorCode = (typeof NBD_ERROR_CODES)[number];

/** An error that the server answered a request with. `code` is its name, "EIO"; the connection goes on. */
export class NbdRequestError extends SkinkError {
  /** The number on the wire. */
  readonly errno: number;

  constructor(action: string, errno: number) {
    const name = isErrno(errno) ? errnoName(errno) : `error ${errno}`;
    super(isErrno(errno) ? name : "EINVAL", `Cannot ${action}: the server answered ${name}, success was wanted`);
    this.name = "NbdRequestError";
    this.errno = errno;
  }
}

/** The connection is gone, and with it every request that had no reply. `code`: "disconnected". */
export function disconnected(what: string, cause?: unknown): SkinkError {
  const message = `Cannot go on with the NBD connection: ${what}, a reply was wanted`;
  return new SkinkError("disconnected", message, cause === undefined ? {} : { cause });
}

/** The server does not keep to the protocol. `code`: "bad-server". */
export function badServer(what: string): SkinkError {
  return new SkinkError("bad-server", `Cannot talk to the NBD server: ${what}, the NBD protocol was wanted`);
}

/** Encryption was wanted, and can't be had. `code`: "tls-failed". */
export function tlsFailed(what: string, cause?: unknown): SkinkError {
  const message = `Cannot talk to the NBD server with TLS: ${what}, an encrypted connection was wanted`;
  return new SkinkError("tls-failed", message, cause === undefined ? {} : { cause });
}

/** What no server should be asked. `code`: "bad-request". */
export function badRequest(action: string, is: string, wanted: string): SkinkError {
  return new SkinkError("bad-request", `Cannot ${action}: ${is}, ${wanted} was wanted`);
}
