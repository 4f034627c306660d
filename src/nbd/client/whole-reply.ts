import { COMMAND } from "../wire/protocol.ts";
import { badServer } from "./errors.ts";
import type { Exchange, Run } from "./exchange.ts";

/** Checks what a reply in chunks has to be when it is complete, without an error; sorts the runs of a read by their start. */
export function checkWhole(exchange: Exchange): void {
  const { type, into, covered, length, runs } = exchange;
  if (into !== undefined && covered !== length) throw badServer("its reply to a read has gaps");
  if (runs !== undefined && overlap(runs)) throw badServer("the chunks of its reply overlap");
  if (type === COMMAND.BLOCK_STATUS && lacksExtents(exchange))
    throw badServer("it answered a block status without extents");
}

function overlap(runs: Run[]): boolean {
  runs.sort((a, b) => a.start - b.start);
  return runs.some((run, index) => index > 0 && run.start < endOf(runs[index - 1] as Run));
}

function endOf({ start, length }: Run): number {
  return start + length;
}

/** Each context that was asked for has to have some. */
function lacksExtents({ extents, contexts }: Exchange): boolean {
  if (extents?.length === 0) return true;
  return contexts !== undefined && [...contexts.values()].some(({ length }) => length === 0);
}
