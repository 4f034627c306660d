import { MAX_STRING_BYTES } from "./protocol.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * A string of the wire: at most MAX_STRING_BYTES of UTF-8 without NUL. `undefined` where it isn't that.
 * Source: "Values", the paragraph on strings.
 */
export function decodeString(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_STRING_BYTES || bytes.includes(0)) return undefined;
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function encodeString(text: string): Uint8Array {
  return encoder.encode(text);
}
