import { strict as assert } from "node:assert";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NbdClient } from "../src/nbd/index.ts";
import { MAX_OUTPUT_BYTES } from "../src/nbd/server/limits.ts";
import type { Attack } from "./hostile-client.ts";
import { inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until, within } from "./until.ts";

const HOSTILE = fileURLToPath(new URL("hostile-client.ts", import.meta.url));
const MIB = 1 << 20;
const READ_BYTES = 4096;
const ROUNDS = 3;
/** Other tests run beside this one, in bursts: who is treated fairly is so once in as many tries. */
const ATTEMPTS = 5;
const READS_A_ROUND = 400;
const LARGEST_BYTES = 32 * MIB;
const READS_UNDER_SIEGE = 5;
/** Before it come the largest requests of many others, a gigabyte together. */
const SIEGE_TIMEOUT_MS = 30_000;
const UNDER_WAY_TIMEOUT_MS = 20_000;
/**
 * Of a request's time, what the machine may need to give each of four processes the processor once: on two cores a busy
 * neighbour costs that much, however fair the server is.
 */
const SCHEDULING_MS = 20;
const ENTRY_MS = 10_000;
/** Of the front: its code, the arenas of a device, and what the collector has not yet collected. */
const OTHER_MEMORY_BYTES = 600 * MIB;

const ATTACKS: readonly Attack[] = ["small reads", "large writes", "deafness", "slowness", "connections"];

for (const attack of ATTACKS) {
  test(`${attack} of a hostile client cost a good one little time, and the front bounded memory`, () =>
    inScene(async (scene) => {
      const front = await serve(scene, "memory:64M", { args: ["--name", "disk"] });
      const client = await NbdClient.connect(front.uri);
      scene.defer(() => client.destroy());
      await client.write(0, new Uint8Array(16 * MIB).fill(7));
      const before = residentBytes(front);
      // Code that has never run is slow as well.
      await slowest(client);

      const hostile = await startAttack(scene, attack);
      for (let attempt = 1; ; attempt++) {
        const alone: number[] = [];
        const attacked: number[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          attacked.push(await slowest(client));
          hostile.kill("SIGSTOP");
          alone.push(await slowest(client));
          hostile.kill("SIGCONT");
        }
        const [normal, disturbed] = [median(alone), median(attacked)];
        if (disturbed <= 2 * normal + SCHEDULING_MS) break;
        assert.notEqual(attempt, ATTEMPTS, `p99 is ${disturbed} ms, alone ${normal} ms`);
      }
      const grown = residentBytes(front) - before;
      assert.ok(grown < MAX_OUTPUT_BYTES + OTHER_MEMORY_BYTES, `the front has grown by ${grown} bytes`);

      // Who comes only now gets in, too.
      const late = await until("a late client to get in", ENTRY_MS, () =>
        // Where connections pour in, the oldest one in its handshake makes room for the next, and may be this one.
        NbdClient.connect(front.uri).catch(() => undefined),
      );
      assert.equal((await late.read(0, READ_BYTES))[0], attack === "large writes" ? 0x5a : 7);
      await late.close();
      await client.close();
      hostile.kill("SIGKILL");
      await once(hostile, "exit");
      assert.equal((await front.device()).state, "live");
      const { stderr } = await front.stop();
      assert.ok(stderr.split("\n").length < 20, `the log is flooded: ${stderr.slice(0, 2000)}`);
    }));
}

test("clients that ask for the most, and take nothing of it, keep nobody from reading for good", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:64M", { args: ["--name", "disk"] });
    const client = await NbdClient.connect(front.uri);
    scene.defer(() => client.destroy());
    await client.write(0, new Uint8Array(LARGEST_BYTES).fill(7));
    const hostile = await startAttack(scene, "deafness to large replies");
    for (let index = 0; index < READS_UNDER_SIEGE; index++)
      await within("a read under siege", SIEGE_TIMEOUT_MS, client.read(0, READ_BYTES));
    hostile.kill("SIGKILL");
    await once(hostile, "exit");
    await client.close();
    await front.stop();
  }));

async function startAttack(scene: Scene, attack: Attack): Promise<ChildProcess> {
  const hostile = scene.spawn(process.execPath, [HOSTILE, attack, scene.path("nbd"), "disk"]);
  const { stdout } = hostile;
  assert.ok(stdout !== null);
  await within(`${attack} to take hold`, UNDER_WAY_TIMEOUT_MS, once(stdout, "data"));
  return hostile;
}

/** The 99th percentile of the time that a read takes, one after the other, in milliseconds. */
async function slowest(client: NbdClient): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < READS_A_ROUND; index++) {
    const start = performance.now();
    await client.read((index % 1024) * READ_BYTES, READ_BYTES);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(READS_A_ROUND * 0.99)] as number;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >>> 1] as number;
}

function residentBytes(front: Front): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${front.pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}
