import { OPTION, OPTION_REPLY, type OptionReplyType } from "../wire/protocol.ts";
import { MAX_OPTION_BYTES } from "./limits.ts";

/** Whether clients may, or must, start TLS before anything else. */
export type TlsMode = "off" | "on" | "required";
/** `started`: a client has. */
export type TlsState = TlsMode | "started";

/** What an option is answered whose data doesn't matter. */
export interface Verdict {
  readonly reply: OptionReplyType;
  /** For people. */
  readonly message: string;
  /** The connection ends with it. */
  readonly last: boolean;
}

const ABORTED: Verdict = { reply: OPTION_REPLY.ACK, message: "", last: true };
const SHUT_DOWN: Verdict = { reply: OPTION_REPLY.ERR_SHUTDOWN, message: "the server is shutting down", last: true };
const TLS_WANTED: Verdict = { reply: OPTION_REPLY.ERR_TLS_REQD, message: "TLS has to be started first", last: false };
const UNSUPPORTED: Verdict = { reply: OPTION_REPLY.ERR_UNSUP, message: "unsupported option", last: false };
const TOO_BIG: Verdict = { reply: OPTION_REPLY.ERR_TOO_BIG, message: "too much data", last: false };

/** Options whose answer depends on their data, or on what was agreed on before. */
const KNOWN: ReadonlySet<number> = new Set([
  OPTION.EXPORT_NAME,
  OPTION.LIST,
  OPTION.STARTTLS,
  OPTION.INFO,
  OPTION.GO,
  OPTION.STRUCTURED_REPLY,
  OPTION.LIST_META_CONTEXT,
  OPTION.SET_META_CONTEXT,
  OPTION.EXTENDED_HEADERS,
]);

/**
 * The answer to an option whose data is dropped as it comes; `undefined` where the data, of `length` bytes, has to be
 * there in one piece. EXPORT_NAME has no answer but a disconnect. Source: "Option types", "FORCEDTLS mode".
 */
export function verdictOn(option: number, length: number, tls: TlsState, shuttingDown: boolean): Verdict | undefined {
  if (option === OPTION.ABORT) return ABORTED;
  if (shuttingDown) return SHUT_DOWN;
  if (tls === "required" && option !== OPTION.STARTTLS) return TLS_WANTED;
  if (!KNOWN.has(option) || (tls === "off" && option === OPTION.STARTTLS)) return UNSUPPORTED;
  return length > MAX_OPTION_BYTES ? TOO_BIG : undefined;
}
