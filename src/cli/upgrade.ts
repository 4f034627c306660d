import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";
import type { UpgradeResult } from "../front/control-protocol.ts";
import { eventLine } from "../front/event-line.ts";
import { ask, type ControlOptions, events, withControl } from "./control.ts";

interface UpgradeOptions extends ControlOptions {
  readonly wait: boolean;
  readonly json?: true;
}

/** The front's errors after which everything is as it was. */
const REFUSALS = ["upgrade-refused", "wrong-state", "bad-spec", "unknown-device"];

export function addUpgrade(program: Command): void {
  const command = program
    .command("upgrade")
    .summary("hand a device over to another driver, or another version of its own, under load")
    .description(
      "Hands a device over to another driver for the same store while clients go on: what is in flight ends, a flush, " +
        "close; then the new one opens. It is on probation for a while; if it fails in it, the old one comes back, and " +
        "nothing is lost. Waits for the end of probation.",
    )
    .argument("<name>", "the device")
    .argument("<spec>", "the new driver, as for serve; a relative path starts here")
    .option("--no-wait", "end when the new driver serves, on probation")
    .option("--json", "the outcome as an object, for machines: docs/faults.md")
    .addHelpText("after", HELP);
  withControl(command).action(upgrade);
}

const HELP = `
It prints one line: what serves now, and how long requests waited. Exit codes: 0 upgraded (or on probation, with
--no-wait), 1 not upgraded or rolled back, 2 bad usage, a bad spec among it. How long probation is, is said by the
device's policy: probationMs, probationRequests. Ctrl-C ends the waiting, not the upgrade.

Examples:
  skink upgrade disk './my-driver-2.ts?path=disk.img'        a new version, which must find the same store
  skink upgrade disk file:disk.img                           the simple one instead
  skink upgrade disk 'exec:nbdkit -f -U {socket} file disk.img' --no-wait
  skink restart disk                                         the same driver, after its module has changed`;

async function upgrade(name: string, spec: string, options: UpgradeOptions): Promise<void> {
  const over = new AbortController();
  const progress = process.stderr.isTTY ? showProgress(name, options, over.signal) : undefined;
  let result: UpgradeResult;
  try {
    result = await askForUpgrade(name, spec, options);
  } finally {
    over.abort();
    await progress;
  }
  if (options.json) console.log(JSON.stringify(result));
  if (result.outcome === "rolled back") throw rolledBack(name, spec, result);
  if (!options.json) console.log(resultLine(name, spec, result));
}

/** Where the front has left everything as it is, machines are told in their way, too. */
async function askForUpgrade(name: string, spec: string, options: UpgradeOptions): Promise<UpgradeResult> {
  try {
    return await ask(options, { command: "upgrade", name, spec, base: process.cwd(), wait: options.wait });
  } catch (error) {
    if (options.json && error instanceof SkinkError && REFUSALS.includes(error.code)) {
      console.log(JSON.stringify({ outcome: "refused", code: error.code, reason: error.message }));
    }
    throw error;
  }
}

/** On stderr, what happens to the device from now on. */
async function showProgress(name: string, options: ControlOptions, signal: AbortSignal): Promise<void> {
  const since = new Date().toISOString();
  try {
    for await (const event of events(options, true, signal)) {
      if (event.type === "missed" || event.device !== name || event.time < since) continue;
      process.stderr.write(`${eventLine(event, name.length)}\n`);
    }
  } catch (error) {
    // The upgrade itself says what is wrong.
    if (!(error instanceof SkinkError)) throw error;
  }
}

/** "upgraded disk to ./new.ts: epoch 8, requests waited for at most 6.1 ms" */
function resultLine(name: string, spec: string, { outcome, epoch, stallMs }: UpgradeResult): string {
  const done = outcome === "on probation" ? `handed ${name} over, on probation,` : `${outcome} ${name}`;
  return `${done} to ${oneLine(spec)}: epoch ${epoch}, requests waited for at most ${stallMs.toFixed(1)} ms`;
}

function rolledBack(name: string, spec: string, { served, epoch, stallMs, reason }: UpgradeResult): SkinkError {
  const why = `${served ? "on probation" : "it could not take over"}: ${reason ?? "it failed"}`;
  const now = `the old driver serves again (epoch ${epoch}, requests waited for at most ${stallMs.toFixed(1)} ms)`;
  return new SkinkError("rolled-back", `Cannot upgrade ${name} to ${oneLine(spec)}: ${why}; ${now}`);
}

/** A spec that is a command may have lines of its own. */
function oneLine(spec: string): string {
  return /\p{Cc}/u.test(spec) ? JSON.stringify(spec) : spec;
}
