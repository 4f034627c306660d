import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { commandName } from "../front/server-spec.ts";
import type { DeviceSpec } from "../front/spec.ts";
import type { CampaignOptions } from "./plan.ts";
import { isBare } from "./prepare.ts";
import { relayProgram } from "./servers/relay.ts";

/** For a program to say its version; a server that can't, serves instead. */
const VERSION_MS = 3000;

/**
 * Of Skink, of Node, and what the programs say of themselves that a target consists of: the server, and who reconnects to it. What Skink
 * itself puts between a front and a server, to falsify what passes, is run by the same Node. One that doesn't say anything isn't named.
 */
export function versionsOf(
  spec: DeviceSpec,
  options: Pick<CampaignOptions, "shadow" | "recovery">,
): Record<string, string> {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const versions: Record<string, string> = {
    skink: (JSON.parse(file) as { version: string }).version,
    node: process.versions.node,
  };
  for (const program of programsOf(spec, options)) {
    const said = versionOf(program);
    if (said !== "") versions[commandName(program)] = said;
  }
  return versions;
}

function programsOf(spec: DeviceSpec, options: Pick<CampaignOptions, "shadow" | "recovery">): string[] {
  if (spec.source.type !== "command") return [];
  const [server = ""] = spec.source.command.trim().split(/\s+/);
  const relay = isBare(spec, options) ? relayProgram(options.recovery ?? "client") : undefined;
  return relay === undefined ? [server] : [server, relay];
}

function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ["--version"], {
    encoding: "utf8",
    timeout: VERSION_MS,
    killSignal: "SIGKILL",
  });
  const [line = ""] = (stdout ?? "").split("\n");
  return line.replace(`${commandName(program)} `, "").trim();
}
