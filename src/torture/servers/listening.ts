import { readFileSync } from "node:fs";

/** __SO_ACCEPTCON in the fourth column, behind the count of references and the protocol: somebody listens. */
const LISTENING = "00010000";

/**
 * Whether somebody listens at a unix socket of this path, absolute as it was bound. It is looked up with the kernel, since to
 * knock would take a connection from a server that may have one for one client alone.
 */
export function isListening(path: string): boolean {
  const table = readFileSync("/proc/net/unix", "utf8");
  for (let at = table.indexOf(path); at !== -1; at = table.indexOf(path, at + 1)) {
    const end = at + path.length;
    if (table[end] !== "\n" && end !== table.length) continue;
    const [, , , flags] = table.slice(table.lastIndexOf("\n", at) + 1, at).split(/\s+/);
    if (table[at - 1] === " " && flags === LISTENING) return true;
  }
  return false;
}
