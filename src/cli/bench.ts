import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";

const SCRIPT = fileURLToPath(new URL("../../bench/main.ts", import.meta.url));

export function addBench(program: Command): void {
  program
    .command("bench")
    .summary("measure against other NBD servers (in a checkout)")
    .description(
      "Runs the benchmark of a checkout, side by side with other NBD servers; it needs fio, nbdkit and qemu-nbd. " +
        "skink bench -- --help shows its parts and options.",
    )
    .argument("[arguments...]", "for the benchmark: for example, recovery")
    .allowUnknownOption()
    .action((arguments_: string[]) => {
      if (!existsSync(SCRIPT)) {
        throw new SkinkError(
          "no-bench",
          "Cannot run the benchmark: it is not part of this package, a checkout was wanted",
        );
      }
      const { status } = spawnSync(process.execPath, [SCRIPT, ...arguments_], { stdio: "inherit" });
      process.exitCode = status ?? 1;
    });
}
