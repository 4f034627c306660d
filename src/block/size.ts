import { SkinkError } from "./errors.ts";

const UNITS = ["", "K", "M", "G", "T"];
/** 8 PiB: up to here a `number` holds each byte's offset exactly. */
const MAX_SIZE = Number.MAX_SAFE_INTEGER + 1;

/**
 * The bytes that a size such as "4096", "256M" or "10G" says; K, M, G and T are powers of 1024.
 * Throws `bad-size` for everything else, and for what is over 8 PiB.
 */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMGT]?)$/i.exec(text);
  if (match === null) throw badSize(text, "a whole number with K, M, G or T, such as 256M, was wanted");
  const bytes = Number(match[1]) * 1024 ** UNITS.indexOf((match[2] as string).toUpperCase());
  if (bytes > MAX_SIZE) throw badSize(text, "at most 8 PiB was wanted");
  return bytes;
}

/** The shortest exact way to say `bytes`: "256M", "1000". */
export function formatSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value !== 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${UNITS[unit]}`;
}

function badSize(text: string, wanted: string): SkinkError {
  return new SkinkError("bad-size", `Cannot read the size ${JSON.stringify(text)}: ${wanted}`);
}
