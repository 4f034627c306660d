import type { Command } from "commander";
import { ask, type ControlOptions, withControl } from "./control.ts";

export function addKill(program: Command): void {
  const command = program
    .command("kill")
    .summary("kill a device's driver, as if it had crashed")
    .description(
      "Kills the driver of a device with SIGKILL, as if it had crashed. The device recovers; clients see a short delay.",
    )
    .argument("<name>", "the device");
  withControl(command).action(async (name: string, options: ControlOptions) => {
    await ask(options, { command: "kill", name });
  });
}
