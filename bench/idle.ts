import { setTimeout as delay } from "node:timers/promises";
import { NbdClient } from "../src/nbd/index.ts";
import { cpuTimeUs } from "./cpu.ts";
import { runFio } from "./fio.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { startSkink } from "./servers.ts";

const WATCH_SECONDS = 10;
const QUICK_WATCH_SECONDS = 3;
/** From the end of the load on, for garbage collectors and own flushes. */
const SETTLE_MS = 2000;
const MAX_PERCENT = 1;

export const idle: Part = {
  name: "idle",
  summary: "CPU of a front and its driver host while nothing happens",
  needs: ["fio"],

  async run(bench, settings, progress) {
    const seconds = settings.quick ? QUICK_WATCH_SECONDS : WATCH_SECONDS;
    const server = await startSkink(bench, { name: "idle", spec: "memory:256M" });
    const [uri] = server.uris;
    progress.say("a load before the rest");
    await runFio(bench, { pattern: "randrw", blockBytes: 4096, depth: 16, uris: server.uris, seconds: 1 });
    const client = await NbdClient.connect(uri as string);
    let percent: number;
    try {
      await delay(SETTLE_MS, undefined, { signal: bench.signal });
      progress.say(`watching for ${seconds} s`);
      const startedAt = performance.now();
      const before = cpuTimeUs(server.tool.pid);
      await delay(seconds * 1000, undefined, { signal: bench.signal });
      const usedUs = cpuTimeUs(server.tool.pid) - before;
      percent = (100 * usedUs) / ((performance.now() - startedAt) * 1000);
    } finally {
      client.destroy();
    }
    const measured = `${percent.toFixed(2)} %`;
    return {
      report: {
        part: "idle",
        machine: thisMachine(),
        method: `A memory device with one connected client that asks for nothing, watched for ${seconds} s after a load.`,
        data: { seconds, percent },
        tables: [],
        verdicts: [{ goal: `idle: less than ${MAX_PERCENT} % of a CPU`, measured, met: percent < MAX_PERCENT }],
      },
    };
  },
};
