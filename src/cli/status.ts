import type { Command } from "commander";
import { formatSize } from "../block/size.ts";
import type { DeviceStatus, FrontStatus } from "../front/status.ts";
import { ask, type ControlOptions, withControl } from "./control.ts";

export function addStatus(program: Command): void {
  const command = program
    .command("status")
    .summary("show the devices of the front")
    .description(
      "Shows each device, its driver and its last recovery. States: starting, live, recovering, degraded, held, failed, stopping.",
    )
    .option("--json", "everything there is to know, for machines");
  withControl(command).action(async (options: ControlOptions & { json?: true }) => {
    const status = await ask(options, { command: "status" });
    console.log(options.json ? JSON.stringify(status, null, 2) : statusTable(status));
  });
}

/** A line a device in columns, and beneath it what is the matter and how the last recovery went. */
function statusTable({ devices }: FrontStatus): string {
  const rows = [HEADINGS, ...devices.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return lines.flatMap((line, index) => [line, ...notes(devices[index - 1])]).join("\n");
}

const HEADINGS = ["NAME", "STATE", "SIZE", "DRIVER", "PID", "RESTARTS", "SHADOW", "URI"];

function cells({ name, state, size, driver, restarts, shadow, home, uri }: DeviceStatus): string[] {
  const held = `${shadow.pieces} pieces, ${(shadow.bytes / 2 ** 20).toFixed(1)} MiB${home === "memory" ? "" : `, ${home}`}`;
  const { kind, pid } = driver;
  return [name, state, size === 0 ? "-" : formatSize(size), kind, String(pid ?? "-"), String(restarts), held, uri];
}

function notes(device: DeviceStatus | undefined): string[] {
  if (device === undefined) return [];
  const last = device.recoveries.at(-1);
  return [
    ...(device.reason === undefined ? [] : [`  ${device.state}: ${device.reason}`]),
    ...(last === undefined ? [] : [`  last recovery: ${last.totalMs.toFixed(1)} ms (${last.reason})`]),
  ];
}
