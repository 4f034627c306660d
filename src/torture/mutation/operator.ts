import type { AnyNode } from "acorn";
import type { Change } from "./change.ts";
import type { Code, Place } from "./code.ts";

/**
 * Whose class of faults it is.
 *
 * - Ng & Chen: "The Systematic Improvement of Fault Tolerance in the Rio File Cache" (FTCS 1999), after studies of which faults there are
 *   in the code of operating systems: initialisation, off by one, copies that overrun, constants and statements that are not as they were.
 * - Nooks: Swift, Bershad and Levy, "Improving the Reliability of Commodity Operating Systems" (SOSP 2003), the same done to drivers by
 *   changing instructions: source, destination, pointer, interface, branch, loop, text, and an instruction that is left out. MINIX 3
 *   was tested with them, too.
 * - JavaScript: what goes wrong where work ends later than the call that began it.
 */
export type FaultClass = "Ng & Chen" | "Nooks" | "JavaScript";

/** One way in which programmers go wrong. All of them are listed in docs/torture.md, in these words. */
export interface Operator {
  /** A `CodeFault`'s kind. */
  readonly name: string;
  readonly class: FaultClass;
  /** What it does to which code. */
  readonly does: string;
  /** The mistake of the real world that it stands for. */
  readonly bug: string;
  /** What it makes of one node, which may be nothing. What doesn't parse is left out by the caller. */
  changes(place: Place, code: Code): Iterable<Change>;
}

export function replace({ start, end }: AnyNode, replacement: string): Change {
  return { start, end, replacement };
}

export function insertAfter({ end }: AnyNode, replacement: string): Change {
  return { start: end, end, replacement };
}

export function insertBefore({ start }: AnyNode, replacement: string): Change {
  return { start, end: start, replacement };
}
