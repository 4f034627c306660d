import { errnoName, isErrno, SkinkError } from "../../block/errors.ts";

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
export function disconnected(what: string, cause?: Error): SkinkError {
  const message = `Cannot go on with the NBD connection: ${what}, a reply was wanted`;
  return new SkinkError("disconnected", message, cause === undefined ? {} : { cause });
}

/** The server does not keep to the protocol. `code`: "bad-server". */
export function badServer(what: string): SkinkError {
  return new SkinkError("bad-server", `Cannot talk to the NBD server: ${what}, the NBD protocol was wanted`);
}
