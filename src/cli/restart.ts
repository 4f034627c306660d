import type { Command } from "commander";
import { ask, type ControlOptions, withControl } from "./control.ts";

export function addRestart(program: Command): void {
  const command = program
    .command("restart")
    .summary("restart a device's driver in order, for example after its module has changed")
    .description(
      "Restarts the driver of a device in order: what is in flight ends, a flush, close; then the new one opens. " +
        "Also brings back a device that has failed.",
    )
    .argument("<name>", "the device");
  withControl(command).action(async (name: string, options: ControlOptions) => {
    await ask(options, { command: "restart", name });
  });
}
