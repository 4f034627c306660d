import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { SkinkError } from "../block/errors.ts";

const EXIT_FAILED = 1;
const EXIT_BAD_USAGE = 2;
/** Codes of errors that are about what was typed. */
const USAGE_CODES = [
  "bad-spec",
  "bad-config",
  "bad-name",
  "bad-usage",
  "bad-tls",
  "bad-device",
  "bad-home",
  "bad-mark",
  "bad-state",
  "bad-check",
];

/** What adds each command, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  serve: async () => (await import("./serve.ts")).addServe,
  status: async () => (await import("./status.ts")).addStatus,
  events: async () => (await import("./events.ts")).addEvents,
  kill: async () => (await import("./kill.ts")).addKill,
  restart: async () => (await import("./restart.ts")).addRestart,
  upgrade: async () => (await import("./upgrade.ts")).addUpgrade,
  stop: async () => (await import("./stop.ts")).addStop,
  log: async () => (await import("./log.ts")).addLog,
  record: async () => (await import("./record.ts")).addRecord,
  mark: async () => (await import("./mark.ts")).addMark,
  crashes: async () => (await import("./crashes.ts")).addCrashes,
  attach: async () => (await import("./attach.ts")).addAttach,
  detach: async () => (await import("./attach.ts")).addDetach,
  demo: async () => (await import("./demo.ts")).addDemo,
  torture: async () => (await import("./torture.ts")).addTorture,
  bench: async () => (await import("./bench.ts")).addBench,
};

const program = new Command("skink")
  .description("Block devices for Linux whose drivers may crash or be replaced while the I/O goes on.")
  .version(version())
  .exitOverride()
  .showHelpAfterError("(skink --help, or skink COMMAND --help, shows what there is)")
  .addHelpText(
    "after",
    `
Examples:
  skink demo                                 see a driver killed twice a second under load
  skink serve memory:256M                    a disk in memory; prints where clients find it
  skink serve 'file:disk.img?size=10G' --socket /run/user/1000/disk.sock
  skink serve './my-driver.ts?key=value' --name disk --port 10809
  skink status                               what the front is doing, and its last recoveries
  skink kill disk                            crash the driver on purpose: clients notice a short delay
  skink upgrade disk ./my-driver-2.ts        replace the driver under load
  skink events                               what happened, and why; then what happens
  skink torture './my-driver.ts?key=value'   break it in many ways, and see what clients lose
  skink attach disk /dev/nbd0                make it a disk of this machine, as root

A client is anything that speaks NBD: nbdinfo, nbdcopy, nbdfuse, qemu, fio, the Linux kernel by nbd-client.
Exit codes: 0 well, 1 failed, 2 bad usage.`,
  );
await addCommands(process.argv[2]);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** The one that is asked for, alone: clients wait while a front loads. All of them where there is none of that name. */
async function addCommands(name = ""): Promise<void> {
  const wanted = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]] : Object.values(COMMANDS);
  for (const load of wanted) (await load?.())?.(program);
}

function exitCodeOf(error: unknown): number {
  // Commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_BAD_USAGE;
  if (!(error instanceof SkinkError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return USAGE_CODES.includes(error.code) ? EXIT_BAD_USAGE : EXIT_FAILED;
}

function version(): string {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}
