import { badCredentials, readCredential } from "./files.ts";

/** What TLS libraries take. */
const MAX_KEY_BYTES = 512;

/** Pre-shared keys by the names of their users. */
export type PskKeys = ReadonlyMap<string, Buffer>;

/**
 * Reads a file of pre-shared keys, one line `user:hexkey` for each, as psktool writes it. Throws `bad-credentials`, which
 * names the line and shows nothing of it.
 */
export function loadPsk(file: string): PskKeys {
  const text = readCredential(file);
  if (text === undefined) throw badCredentials(file, "it is not there", "a file of pre-shared keys");
  const keys = new Map<string, Buffer>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const bad = (is: string): Error => badCredentials(file, `line ${index + 1} ${is}`, "USER:HEXKEY");
    const [, user, hex] = /^([^:]+):(.*)$/.exec(line.trim()) ?? [];
    if (user === undefined || hex === undefined) throw bad("has no user before a colon");
    if (!/^(?:[0-9a-f]{2})+$/i.test(hex)) throw bad("has no key of hexadecimal bytes");
    if (hex.length > 2 * MAX_KEY_BYTES) throw bad(`has a key of more than ${MAX_KEY_BYTES} bytes`);
    if (keys.has(user)) throw bad("has the user of an earlier one");
    keys.set(user, Buffer.from(hex, "hex"));
  }
  if (keys.size === 0) throw badCredentials(file, "it has no keys", "a line USER:HEXKEY");
  return keys;
}
