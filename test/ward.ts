import { strict as assert } from "node:assert";
import { FAULT_KINDS, type FaultKind } from "../src/block/fault.ts";
import type { DeviceStatus } from "../src/front/status.ts";
import { NbdClient } from "../src/nbd/index.ts";
import type { DeviceState } from "../src/supervisor/supervisor.ts";
import { DISK_BYTES, GENTLE, Load } from "./load.ts";
import type { Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { SickDisk } from "./sick-disk.ts";
import { UnreliableServer } from "./unreliable-server.ts";
import { until } from "./until.ts";

export const QUIET_OFFSET = DISK_BYTES;
const DISK = `size=${DISK_BYTES + 65536}`;
/** A heap that is soon full. */
const HEAP = "--max-old-space-size=64";
const STATE_TIMEOUT_MS = 20_000;

/** The kinds of patients. "changeling" has no load: while it is another store, its clients get errors. */
export const DEVICES = {
  busy: { load: true, policy: "{}" },
  idle: { load: false, policy: "{}" },
  strict: {
    load: true,
    policy: "{ maxResidentBytes: 160M, maxOpenFiles: 120, openTimeoutMs: 2000, stopTimeoutMs: 1000 }",
  },
  prompt: { load: false, policy: "{ maxLagMs: 25 }" },
  checked: { load: true, policy: "{}" },
  remote: { load: true, policy: "{}" },
  changeling: { load: false, policy: "{}" },
} as const;

export type DeviceName = keyof typeof DEVICES;

/** A front with a device for each kind of patient. */
export class Ward {
  readonly scene: Scene;
  readonly front: Front;
  readonly server: UnreliableServer;
  readonly #disks: ReadonlyMap<DeviceName, SickDisk>;
  readonly #clients = new Map<DeviceName, NbdClient>();
  #expected: Promise<unknown>[] = [];

  static async open(scene: Scene): Promise<Ward> {
    const server = await UnreliableServer.listen(scene, DISK_BYTES);
    const names = Object.keys(DEVICES) as DeviceName[];
    const disks = new Map(names.map((name) => [name, new SickDisk(scene, name, DISK)]));
    const lines = names.flatMap((name) => {
      const spec = name === "remote" ? `nbd+unix:///disk?socket=${server.path}&settle=1ms` : disks.get(name)?.spec;
      return [
        `  - name: ${name}`,
        `    spec: ${JSON.stringify(spec)}`,
        `    policy: ${DEVICES[name].policy}`,
        ...more(name),
      ];
    });
    const config = scene.write("skink.yaml", ["devices:", ...lines, ""].join("\n"));
    const front = await serve(scene, config, { devices: names.length, nodeOptions: HEAP });
    return new Ward(scene, front, server, disks);
  }

  private constructor(scene: Scene, front: Front, server: UnreliableServer, disks: Map<DeviceName, SickDisk>) {
    this.scene = scene;
    this.front = front;
    this.server = server;
    this.#disks = disks;
  }

  disk(name: DeviceName): SickDisk {
    return this.#disks.get(name) as SickDisk;
  }

  orderOnce(name: DeviceName, order: string): Promise<number> {
    return this.disk(name).orderOnce(this.front, order);
  }

  /** Puts it under load: behind QUIET_OFFSET is what that leaves alone. */
  load(name: DeviceName): Promise<Load> {
    return Load.start(this.scene, this.#uriOf(name), 1, GENTLE);
  }

  /** A client beside the load. */
  async client(name: DeviceName): Promise<NbdClient> {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const client = await NbdClient.connect(this.#uriOf(name));
    this.scene.defer(() => client.destroy());
    this.#clients.set(name, client);
    return client;
  }

  /** This has to come out well by the time that the device is live again. */
  expect(outcome: Promise<unknown>): void {
    outcome.catch(() => {});
    this.#expected.push(outcome);
  }

  /** Waits for what is expected. */
  async expected(): Promise<void> {
    await Promise.all(this.#expected.splice(0));
  }

  async until(name: DeviceName, state: DeviceState): Promise<DeviceStatus> {
    return await until(`${name} to be ${state}`, STATE_TIMEOUT_MS, async () => {
      const device = await this.front.device(name);
      return device.state === state ? device : undefined;
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
    await this.front.stop();
  }

  /** How often each kind was found since that was so, without those that were not. */
  async faultsSince(name: DeviceName, before: Readonly<Record<FaultKind, number>>): Promise<Record<string, number>> {
    const { faults } = (await this.front.device(name)).counters;
    const more = FAULT_KINDS.map((kind) => [kind, faults[kind] - before[kind]] as const);
    return Object.fromEntries(more.filter(([, count]) => count > 0));
  }

  #uriOf(name: DeviceName): string {
    const found = this.front.ready.find((ready) => ready.name === name);
    assert.ok(found !== undefined);
    return found.uri;
  }
}

/** What else the configuration of that device says. */
function more(name: DeviceName): string[] {
  if (name !== "checked") return [];
  return ["    verify: digests", '    health: { command: "test ! -e unwell", everyMs: 100, failures: 2 }'];
}
