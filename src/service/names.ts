import { createHash } from "node:crypto";
import { MAX_NAME_LENGTH } from "./notification.ts";

/** No unit of systemd is called so, and names of sockets are by default those of their units. */
const PREFIX = "skink/";

/**
 * Under which name a descriptor is stored: `kind` (a plain word) and, where there are several, whatever text tells them apart,
 * such as a device's name. The same two give the same name, others another one.
 */
export function storedName(kind: string, text?: string): string {
  if (text === undefined) return `${PREFIX}${kind}`;
  const name = `${PREFIX}${kind}/${encode(text)}`;
  if (name.length <= MAX_NAME_LENGTH) return name;
  // A tilde is in no encoded text.
  return `${PREFIX}${kind}/~${createHash("sha256").update(text).digest("hex")}`;
}

/** Whether a descriptor of that name was stored by a front, as against one that its manager made. */
export function isStoredName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Whether it was stored as one of `kind`. */
export function isOfKind(name: string, kind: string): boolean {
  return name === `${PREFIX}${kind}` || name.startsWith(`${PREFIX}${kind}/`);
}

/** In percent-encoded UTF-8. */
function encode(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9._-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
}
