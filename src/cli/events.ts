import type { Command } from "commander";
import { eventLine } from "../front/event-line.ts";
import type { StreamedEvent } from "../front/events.ts";
import { readerHasGone } from "../os/poll.ts";
import { ask, type ControlOptions, events, withControl } from "./control.ts";

interface EventsOptions extends ControlOptions {
  readonly json?: true;
  readonly follow: boolean;
}

/** How often it is looked whether anybody still reads: a pipe says so only to who writes, and there may be nothing to write. */
const READER_PERIOD_MS = 200;

export function addEvents(program: Command): void {
  const command = program
    .command("events")
    .summary("show what happened to the devices and what was decided, and go on as it happens")
    .description(
      "Prints the events that the front remembers, a line each, then those that come, until Ctrl-C or the front's end. " +
        "Each says what happened to a device's driver, or what was decided about it, and why.",
    )
    .option("--json", "an object a line, for machines: docs/faults.md")
    .option("--no-follow", "end after those that are remembered")
    .addHelpText("after", HELP);
  withControl(command).action(show);
}

const HELP = `
Events:
  live                        an incarnation serves
  fault, reaped, restart      one is given up, is gone, and the next one is started
  fallback                    another driver serves from here on, since restarts don't help
  read-only, held, failed     what becomes of the device where nothing helps
  suspects, convicted         requests that may have killed drivers, and one that did
  lie                         a read returned other data than was written
  upgrade                     another driver takes over, on probation
  upgraded, rollback          it has proved itself, or has not
  stopped                     the end

Examples:
  skink events                                 watch, in one terminal, what the others do
  skink events --no-follow                     what has happened so far
  skink events --json | jq -r 'select(.type == "fault") | .fault'`;

async function show(options: EventsOptions): Promise<void> {
  const line = await lineWriter(options);
  const over = new AbortController();
  const end = (): void => over.abort();
  process.once("SIGINT", end);
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever read it has seen enough.
    if (error.code !== "EPIPE") throw error;
    end();
  });
  const reader = setInterval(() => {
    if (readerHasGone(process.stdout.fd)) end();
  }, READER_PERIOD_MS);
  try {
    // Written to a pipe or a terminal, each line is out before the next one is taken.
    for await (const event of events(options, options.follow, over.signal)) process.stdout.write(`${line(event)}\n`);
  } finally {
    clearInterval(reader);
    process.off("SIGINT", end);
  }
}

/** As objects, or in columns, where that for names is as wide as the longest one. */
async function lineWriter(options: EventsOptions): Promise<(event: StreamedEvent) => string> {
  if (options.json) return (event) => JSON.stringify(event);
  const { devices } = await ask(options, { command: "status" });
  const width = Math.max(...devices.map(({ name }) => name.length));
  return (event) => eventLine(event, width);
}
