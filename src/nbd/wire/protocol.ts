/*
 * The numbers of the NBD protocol: doc/proto.md of the nbd project ("Values"), extended headers
 * its branch extension-ext-header, RESIZE its branch extension-resize. Everything on the wire is big-endian.
 * Eight-byte magics are pairs of words.
 */

/** "NBDMAGIC" */
export const INIT_MAGIC = [0x4e42444d, 0x41474943] as const;
/** "IHAVEOPT": ends the greeting of the server, begins each option of the client. */
export const OPTION_MAGIC = [0x49484156, 0x454f5054] as const;
export const OPTION_REPLY_MAGIC = [0x0003e889, 0x045565a9] as const;
export const REQUEST_MAGIC = 0x25609513;
export const EXTENDED_REQUEST_MAGIC = 0x21e41c71;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const CHUNK_MAGIC = 0x668e33ef;
export const EXTENDED_CHUNK_MAGIC = 0x6e8a278c;

/**
 * What replies look like. `structured`: those that may carry data come in chunks, the others are simple. `extended`:
 * all come in chunks with extended headers, and requests have extended headers too.
 */
export type ReplyStyle = "simple" | "structured" | "extended";

/** Flags of the greeting, and of the client's answer to it. */
export const HANDSHAKE_FLAG = { FIXED_NEWSTYLE: 1 << 0, NO_ZEROES: 1 << 1 } as const;

export const OPTION = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

export const OPTION_REPLY = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_PLATFORM: 0x80000004,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_BLOCK_SIZE_REQD: 0x80000008,
  ERR_TOO_BIG: 0x80000009,
  ERR_EXT_HEADER_REQD: 0x8000000a,
} as const;

export type OptionReplyType = (typeof OPTION_REPLY)[keyof typeof OPTION_REPLY];

export const INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** Transmission flags: what an export can do. */
export const FLAG = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  FLUSH: 1 << 2,
  FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  TRIM: 1 << 5,
  WRITE_ZEROES: 1 << 6,
  DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  RESIZE: 1 << 9,
  CACHE: 1 << 10,
  FAST_ZERO: 1 << 11,
  BLOCK_STATUS_PAYLOAD: 1 << 12,
} as const;

export const COMMAND = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  RESIZE: 8,
} as const;

export const COMMAND_FLAG = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
  PAYLOAD_LEN: 1 << 5,
} as const;

/** Types of the chunks of a structured reply; those with bit 15 set are errors. */
export const CHUNK = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

export const CHUNK_FLAG_DONE = 1;
export const CHUNK_ERROR_BIT = 0x8000;

/** Flags of an extent in the context base:allocation. */
export const STATUS = { HOLE: 1, ZERO: 2 } as const;

export const ALLOCATION_CONTEXT = "base:allocation";

/** The longest name, description, query or error message ("Values", of strings). */
export const MAX_STRING_BYTES = 4096;
/** What a client prefers that was told nothing else ("Block sizes"). */
export const DEFAULT_PREFERRED_BLOCK_BYTES = 4096;
/** The most extents in a BLOCK_STATUS chunk. */
export const MAX_EXTENTS = 1 << 20;
