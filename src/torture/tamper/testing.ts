import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { FaultKind } from "../../block/fault.ts";
import type { DeviceConfig } from "../../front/device-config.ts";
import { Front } from "../../front/front.ts";
import { parseSpec } from "../../front/spec.ts";
import type { DeviceStatus } from "../../front/status.ts";
import { NbdClient } from "../../nbd/client/client.ts";
import type { Fault } from "../plan.ts";
import { Strikes, type Struck } from "./strikes.ts";
import { tamperedSpec } from "./tamper.ts";

export const BLOCK_BYTES = 4096;
const NAME = "disk";
/** So that a driver that dies at each start is soon live again all the same. */
const POLICY = { restartDelayMs: 10, maxRestartDelayMs: 20 };

/** A front in this process whose driver is tampered with, and a client of it. */
export interface Scene {
  readonly client: NbdClient;
  /** Where relative paths of the spec start. */
  readonly folder: string;
  readonly status: () => DeviceStatus;
  readonly struck: () => Struck;
  /** What was found wrong with incarnations, in order, as far as it can be told from the counters: kinds and how often. */
  readonly faults: () => Partial<Record<FaultKind, number>>;
  /** Resolves when the driver is live again after that many restarts. */
  readonly liveAfter: (restarts: number) => Promise<void>;
  readonly kill: () => void;
}

export async function scene(
  t: TestContext,
  spec: string,
  fault: Fault,
  config: Partial<DeviceConfig> = {},
): Promise<Scene> {
  const folder = newFolder(t);
  const tampered = tamperedSpec(parseSpec(spec, folder), { fault }, folder);
  if (tampered === undefined) throw new Error(`${spec} can't be given that fault`);
  const policy = { ...POLICY, ...config.policy };
  const front = new Front({ devices: [{ ...config, name: NAME, spec: tampered, shared: true, policy }] });
  const following = new AbortController();
  t.after(async () => {
    following.abort();
    await front.stop();
  });
  await front.start();
  const client = await NbdClient.connect(front.uri(NAME));
  t.after(() => client.close().catch(() => {}));
  const status = (): DeviceStatus => front.status().devices[0] as DeviceStatus;
  const eventually = async (holds: () => boolean): Promise<void> => {
    if (holds()) return;
    for await (const _event of front.events(following.signal)) if (holds()) return;
  };
  return {
    client,
    folder,
    status,
    struck: () => Strikes.of(folder),
    faults: () => Object.fromEntries(Object.entries(status().counters.faults).filter(([, count]) => count > 0)),
    liveAfter: (restarts) => eventually(() => status().restarts >= restarts && status().state === "live"),
    kill: () => front.kill(NAME),
  };
}

export function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skink-tamper-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A block that is told from others by its number. */
export function block(number: number): Uint8Array {
  return new Uint8Array(BLOCK_BYTES).fill(number);
}
