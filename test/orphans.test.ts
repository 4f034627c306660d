import { strict as assert } from "node:assert";
import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { NbdClient } from "../src/nbd/index.ts";
import { inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const IDLE_MS = 4000;
const MAX_IDLE_SHARE = 0.01;
/** /proc counts in clock ticks: USER_HZ, 100 on every Linux that Node runs on. */
const TICK_MS = 10;
const SPINNING_CPU_MS = 100;
const SPINNING_TIMEOUT_MS = 10_000;

const SPINNING = `
export default {
  open: () => ({
    size: 1 << 20,
    read() { for (;;); },
    write() {},
    flush() {},
  }),
};
`;

test("a front that is killed takes its driver hosts along, and a new one takes its place", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:8M");
    await dieByKill(scene, front);
    const next = await serve(scene, "memory:8M");
    await next.stop();
  }));

test("a front that is killed takes a spinning driver along", () =>
  inScene(async (scene) => {
    const front = await serve(scene, scene.write("spinning.ts", SPINNING));
    const client = await NbdClient.connect(front.uri);
    scene.defer(() => client.destroy());
    const reading = assert.rejects(client.read(0, 512), { code: "disconnected" });
    const { driver } = await front.device();
    await until("the driver to spin", SPINNING_TIMEOUT_MS, () =>
      cpuMs(driver.pid as number) > SPINNING_CPU_MS ? true : undefined,
    );
    await dieByKill(scene, front);
    await reading;
    removeSockets(scene);
  }));

test("a front that is killed while its driver opens takes it along", () =>
  inScene(async (scene) => {
    const module = scene.write("slow.ts", "export default { open: () => new Promise((r) => setTimeout(r, 60_000)) };");
    const front = await serve(scene, module, { devices: 0 });
    await until("the driver to open", SPINNING_TIMEOUT_MS, async () => {
      const status = await front.status().catch(() => undefined);
      return status?.devices[0]?.driver.pid ?? undefined;
    });
    await front.end("SIGKILL");
    removeSockets(scene);
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("a device without clients costs under 1 % CPU", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:8M");
    const client = await NbdClient.connect(front.uri);
    await client.write(0, new Uint8Array(65536));
    await client.flush();
    await client.read(0, 65536);
    const host = (await front.device()).driver.pid as number;
    const before = cpuMs(front.pid) + cpuMs(host);
    await sleep(IDLE_MS);
    const spent = cpuMs(front.pid) + cpuMs(host) - before;
    assert.ok(spent <= IDLE_MS * MAX_IDLE_SHARE, `${spent} ms CPU in ${IDLE_MS} ms`);
    await client.close();
    await front.stop();
  }));

/** Kills the front; what it can't remove then is its sockets, and nothing else may be left. */
async function dieByKill(scene: Scene, front: Front): Promise<void> {
  const { signal } = await front.end("SIGKILL");
  assert.equal(signal, "SIGKILL");
  const left = await until("the driver hosts to go", 1000, async () => {
    const left = await scene.leftovers(0);
    return left.some((line) => line.startsWith("process")) ? undefined : left;
  });
  assert.deepEqual(left.sort(), [`socket ${scene.path("control")}`, `socket ${scene.path("nbd")}`]);
}

function removeSockets(scene: Scene): void {
  for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
}

/** User and system time of a process: fields 14 and 15 of /proc/PID/stat (proc_pid_stat(5)). */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
