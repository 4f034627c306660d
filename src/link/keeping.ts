/** Regions that a driver may keep, and what they may come to. They are sparse: only what is touched takes memory. */
export const MAX_KEPT_REGIONS = 32;
export const MAX_KEPT_BYTES = 2 ** 42;
/** Percent-encoded: so long a name fits into that of its memory, from which a front after this one knows it. */
export const MAX_KEPT_NAME_CHARS = 230;
const FILE_PREFIX = "skink-kept-";

/** What is known of a region that is there. */
interface KeptRegion {
  readonly bytes: number;
}

/**
 * The region of that name, `undefined` where it has to be made. Throws, for `keep` to pass on to the driver, EINVAL for
 * what a region can't be and ENOMEM past the limits.
 */
export function findKept<Region extends KeptRegion>(
  regions: ReadonlyMap<string, Region>,
  name: string,
  bytes: number,
): Region | undefined {
  if (!isKeptName(name)) {
    const wanted = `a name of up to ${MAX_KEPT_NAME_CHARS} characters, percent-encoded, was wanted`;
    throw refusal("EINVAL", String(name).slice(0, 20), wanted);
  }
  const found = regions.get(name);
  if (found !== undefined) {
    if (found.bytes === bytes) return found;
    throw refusal("EINVAL", name, `there are ${found.bytes} bytes of it, ${bytes} were wanted`);
  }
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw refusal("EINVAL", name, `${bytes} bytes, a positive number was wanted`);
  }
  let total = bytes;
  for (const region of regions.values()) total += region.bytes;
  if (regions.size === MAX_KEPT_REGIONS || total > MAX_KEPT_BYTES) {
    throw refusal("ENOMEM", name, `at most ${MAX_KEPT_REGIONS} regions and ${MAX_KEPT_BYTES} bytes may be kept`);
  }
  return undefined;
}

export function isKeptName(name: unknown): name is string {
  if (typeof name !== "string" || !name.isWellFormed()) return false;
  return encodeURIComponent(name).length <= MAX_KEPT_NAME_CHARS;
}

/** What the memory of a region is called. */
export function keptFileName(name: string): string {
  return `${FILE_PREFIX}${encodeURIComponent(name)}`;
}

/** The region whose memory is called so; `undefined` for other memory. */
export function keptNameOf(fileName: string): string | undefined {
  if (!fileName.startsWith(FILE_PREFIX)) return undefined;
  try {
    return decodeURIComponent(fileName.slice(FILE_PREFIX.length));
  } catch {
    return undefined;
  }
}

/** What `keep` throws after `open` has ended. */
export function keptTooLate(name: string): Error {
  return refusal("EINVAL", name, "open has ended, a call from inside it was wanted");
}

function refusal(code: "EINVAL" | "ENOMEM", name: string, what: string): Error {
  return Object.assign(new Error(`Cannot keep ${name}: ${what}`), { code });
}
