/**
 * What sick-driver.ts is told to fall ill with: a file with an order a line, WHEN and HOW.
 *
 *   open never              the next time that it opens; that takes the file away
 *   read corrupt            each read
 *   write@4096 exit         each write that touches the byte at 4096
 *   now loop                at once; only in the file for orders that are carried out once
 *
 * The file itself is read by each incarnation that opens, and stands as long as it is there. Beside it, with ONCE
 * behind its name, is one that an incarnation takes away when it gets SIGUSR2: each of its orders is carried out once,
 * by that incarnation.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";

export const ONCE = ".once";

/** Ways for a disk to lie about what it holds: the calls that they are orders for. */
const LIES = { corrupt: ["read"], misdirected: ["read", "write"], lost: ["write", "zero"], torn: ["write"] };
/** Orders for an opening that change what it says of itself. */
const SAYINGS: readonly string[] = ["other-store"];

export interface Order {
  /** A call, or "now". */
  readonly when: string;
  /** The byte that the call has to touch; any if `undefined`. */
  readonly at: number | undefined;
  readonly how: string;
}

/** No file is no orders. */
export function readOrders(path: string): Order[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line !== "").map(parseOrder);
}

/** Takes the file away, before any of them is carried out: whoever has given them knows then that they stand. */
export function takeOrders(path: string): Order[] {
  const orders = readOrders(path);
  rmSync(path, { force: true });
  return orders;
}

function parseOrder(line: string): Order {
  const [, when, at, how] = /^([a-z]+)(?:@(\d+))? ([a-z-]+)$/.exec(line) ?? [];
  if (when === undefined || how === undefined) throw new Error(`Cannot read the order ${JSON.stringify(line)}`);
  return { when, at: at === undefined ? undefined : Number(at), how };
}

export function applies({ when, at }: Order, call: string, offset: number, length: number): boolean {
  return when === call && (at === undefined || (at >= offset && at < offset + length));
}

/** The lie that the order asks for, if it does. */
export function lieIn({ when, how }: Order): string | undefined {
  return (LIES as Record<string, readonly string[]>)[how]?.includes(when) === true ? how : undefined;
}

/** Whether it was no more than something to say. */
export function isDone({ how }: Order): boolean {
  return SAYINGS.includes(how);
}
