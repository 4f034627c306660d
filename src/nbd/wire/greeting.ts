import { HANDSHAKE_FLAG, INIT_MAGIC, OPTION_MAGIC } from "./protocol.ts";

/*
 * The server greets:                              The client answers:
 *
 *   0            8            16      18            0       4
 *   | "NBDMAGIC" | "IHAVEOPT" | flags |             | flags |
 *   | u64        | u64        | u16   |             | u32   |
 */
export const GREETING_BYTES = 18;
export const CLIENT_FLAGS_BYTES = 4;

const KNOWN_FLAGS = HANDSHAKE_FLAG.FIXED_NEWSTYLE | HANDSHAKE_FLAG.NO_ZEROES;

/** The greeting of a server that speaks fixed newstyle. */
export function encodeGreeting(): Uint8Array {
  const bytes = new Uint8Array(GREETING_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, INIT_MAGIC[0]);
  view.setUint32(4, INIT_MAGIC[1]);
  view.setUint32(8, OPTION_MAGIC[0]);
  view.setUint32(12, OPTION_MAGIC[1]);
  view.setUint16(16, KNOWN_FLAGS);
  return bytes;
}

/** The flags of a server's greeting; `undefined` if it isn't one of a newstyle server. */
export function decodeGreeting(view: DataView): number | undefined {
  const newstyle =
    view.getUint32(0) === INIT_MAGIC[0] &&
    view.getUint32(4) === INIT_MAGIC[1] &&
    view.getUint32(8) === OPTION_MAGIC[0] &&
    view.getUint32(12) === OPTION_MAGIC[1];
  return newstyle ? view.getUint16(16) : undefined;
}

export interface ClientFlags {
  readonly fixedNewstyle: boolean;
  readonly noZeroes: boolean;
}

/** `undefined` for a flag nobody knows: then the server has to drop the connection. */
export function decodeClientFlags(flags: number): ClientFlags | undefined {
  if ((flags & ~KNOWN_FLAGS) !== 0) return undefined;
  return {
    fixedNewstyle: (flags & HANDSHAKE_FLAG.FIXED_NEWSTYLE) !== 0,
    noZeroes: (flags & HANDSHAKE_FLAG.NO_ZEROES) !== 0,
  };
}

export function encodeClientFlags(flags: ClientFlags): Uint8Array {
  const bytes = new Uint8Array(CLIENT_FLAGS_BYTES);
  new DataView(bytes.buffer).setUint32(
    0,
    (flags.fixedNewstyle ? HANDSHAKE_FLAG.FIXED_NEWSTYLE : 0) | (flags.noZeroes ? HANDSHAKE_FLAG.NO_ZEROES : 0),
  );
  return bytes;
}
