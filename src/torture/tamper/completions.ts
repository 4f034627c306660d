import { HostRing } from "../../link/ring.ts";
import type { WireKind } from "../plan.ts";
import type { Trigger } from "./trigger.ts";

const UNUSED_TAG = 0xffff_fff0;
const SECTOR_BYTES = 512;

/** The faults of the wire that a driver's link has, and not the driver. */
const LINK_KINDS = ["wrong-tag", "short", "twice"] as const;
export type LinkKind = (typeof LINK_KINDS)[number];

export function isLinkKind(kind: WireKind): kind is LinkKind {
  return LINK_KINDS.some((link) => link === kind);
}

/** Writes a completion into the host's ring, as {@link HostRing.complete} does. */
export type Complete = (tag: number, errno: number, count: number) => void;

/**
 * From now on `write` writes the completions of this process's rings, until the function that it returns is called. No driver
 * does that by its interface: this reaches for the host's own ring, as a stray pointer would (P5).
 */
export function rewriteCompletions(
  write: (complete: Complete, tag: number, errno: number, count: number) => void,
): () => void {
  const { complete } = HostRing.prototype;
  HostRing.prototype.complete = function (tag, errno, count) {
    write(complete.bind(this), tag, errno, count);
  };
  return () => {
    HostRing.prototype.complete = complete;
  };
}

/** Has the completions struck that the trigger says. */
export function falsifyCompletions(kind: LinkKind, trigger: Trigger): void {
  rewriteCompletions((complete, tag, errno, count) => {
    // What carries no data can't be short of it.
    const isStruck = (kind !== "short" || count > 0) && trigger.pull();
    if (isStruck && kind === "short") complete(tag, errno, count - SECTOR_BYTES);
    else complete(isStruck && kind === "wrong-tag" ? UNUSED_TAG : tag, errno, count);
    if (isStruck && kind === "twice") complete(tag, errno, count);
  });
}
