/**
 * What a service tells its manager, in systemd's protocol: one datagram, lines of KEY=VALUE. Source: sd_notify(3),
 * sd_pid_notify_with_fds(3).
 */
export type Fields = Readonly<Record<string, string>>;

/** What is in a notification that nobody named; systemd's word. */
export const UNNAMED = "stored";
/** Not of systemd's: see ServiceManager.takesOver. */
export const TAKES_OVER = "X_SKINK_TAKES_OVER";
/** Nor this: see ServiceManager.leaves. */
export const LEAVES = "X_SKINK_LEAVES";
/** With FDSTORE=1: the last descriptor is where the manager writes STORED, if all others are kept, before it closes it. */
export const ANSWER = "X_SKINK_ANSWER";
export const STORED = "stored";
/** Says to a front that its manager understands ANSWER. */
export const ANSWERS_VARIABLE = "SKINK_ANSWERS";
/** Of a descriptor's name; see FDNAME= in sd_pid_notify_with_fds(3). */
export const MAX_NAME_LENGTH = 255;

/** The datagram for `fields`. Values have no line feed. */
export function formatNotification(fields: Fields): Uint8Array {
  const lines = Object.entries(fields).map(([key, value]) => `${key}=${value}`);
  return Buffer.from(lines.join("\n"));
}

/**
 * The fields of a datagram; of a key that comes twice the first one counts, and lines without a key mean nothing, as for
 * systemd. Undefined for what is not text: anybody may send anything.
 */
export function parseNotification(bytes: Uint8Array): ReadonlyMap<string, string> | undefined {
  const text = textOf(bytes);
  if (text === undefined || text.includes("\0")) return undefined;
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    const key = line.slice(0, Math.max(equals, 0));
    if (key !== "" && !fields.has(key)) fields.set(key, line.slice(equals + 1));
  }
  return fields;
}

/** Whether a descriptor may be called so: printable ASCII without a colon, which separates names in $LISTEN_FDNAMES. */
export function isDescriptorName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && /^[ -9;-~]*$/.test(name);
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
