import type { Command } from "commander";
import { ask, type ControlOptions, withControl } from "./control.ts";

export function addMark(program: Command): void {
  const command = program
    .command("mark")
    .summary("put a mark into the recording of a device")
    .description(
      "Puts a text into the logs of a device that skink record serves, behind everything that clients were answered before. " +
        "When the command ends well, it is there.",
    )
    .argument("<name>", "the device")
    .argument("<text>", "what the mark says, on one line")
    .addHelpText("after", HELP);
  withControl(command).action(async (name: string, text: string, options: ControlOptions) => {
    await ask(options, { command: "mark", name, text });
  });
}

const HELP = `
Example, after a program has said that something is committed:
  skink mark disk 'order 17 committed'`;
