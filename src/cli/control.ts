import type { Command } from "commander";
import { askFront, type ControlResults } from "../front/control-client.ts";
import type { ControlRequest } from "../front/control-protocol.ts";
import { findControlPath } from "../front/runtime-folder.ts";

export interface ControlOptions {
  readonly control?: string;
}

/** The option of every command that talks to a running front. */
export function withControl(command: Command): Command {
  return command.option("--control <path>", "the front's control socket (default: that of your only running front)");
}

/** Asks the front that the options choose. */
export async function ask<Request extends ControlRequest>(
  { control }: ControlOptions,
  request: Request,
): Promise<ControlResults[Request["command"]]> {
  return await askFront(control ?? (await findControlPath()), request);
}
