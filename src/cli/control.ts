import type { Command } from "commander";
import { askFront, type ControlResults, eventsOf, type PlainRequest } from "../front/control-client.ts";
import type { StreamedEvent } from "../front/events.ts";
import { findControlPath } from "../front/runtime-folder.ts";

export interface ControlOptions {
  readonly control?: string;
}

/** The option of every command that talks to a running front. */
export function withControl(command: Command): Command {
  return command.option("--control <path>", "the front's control socket (default: that of your only running front)");
}

/** Asks the front that the options choose. */
export async function ask<Request extends PlainRequest>(
  { control }: ControlOptions,
  request: Request,
): Promise<ControlResults[Request["command"]]> {
  return await askFront(control ?? (await findControlPath()), request);
}

/** The events of the front that the options choose: see {@link eventsOf}. */
export async function* events(
  { control }: ControlOptions,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<StreamedEvent, void, void> {
  yield* eventsOf(control ?? (await findControlPath()), follow, signal);
}
