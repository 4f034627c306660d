import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";
import { ask, type ControlOptions, withControl } from "./control.ts";

export function addStop(program: Command): void {
  const command = program
    .command("stop")
    .summary("stop the front: drain, flush, close")
    .description(
      "Stops the front as SIGTERM does: no new requests, drain, flush, close. Fails if anything was not released.",
    );
  withControl(command).action(async (options: ControlOptions) => {
    const { clean, reason } = await ask(options, { command: "stop" });
    if (!clean) throw new SkinkError("not-clean", `Cannot stop cleanly: ${reason}`);
  });
}
