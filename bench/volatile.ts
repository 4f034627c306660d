import { fileURLToPath } from "node:url";
import { flush, type Measurement, measure, summarize, warmUp } from "./measure.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { deviceStatus, type SkinkServer, startSkink } from "./servers.ts";
import { mean } from "./statistics.ts";
import { figure, table } from "./table.ts";

/** The example driver that loses what it has not flushed. */
export const VOLATILE_DRIVER = fileURLToPath(new URL("../examples/volatile.ts", import.meta.url));

const LEAST_RATIO = 0.8;
const WRITES_PER_FLUSH = 32;
/** With more than one request in flight, fio's nbd engine repeats a flush until the next write: hence jobs of one each. */
const JOBS = 16;
const SAMPLE_EVERY_MS = 50;

interface Row extends Measurement {
  readonly shadow: "on" | "off";
  readonly retainedBytes: number;
}

export const volatile: Part = {
  name: "volatile",
  summary: "what the shadow costs: 4 KiB writes with a flush every 32, shadow on against off",
  needs: ["fio"],

  async run(bench, settings, progress) {
    const spec = `${VOLATILE_DRIVER}?size=1G`;
    const on = await startSkink(bench, { name: "on", spec, flags: ["--shared"] });
    const off = await startSkink(bench, { name: "off", spec, flags: ["--no-shadow", "--shared"] });
    const sides = [
      { shadow: "on", server: on, runs: [] as Measurement[], retained: [] as number[] },
      { shadow: "off", server: off, runs: [] as Measurement[], retained: [] as number[] },
    ] as const;
    for (const { shadow, server } of sides) {
      progress.say(`warming up, shadow ${shadow}`);
      await warmUp(bench, server);
      // Else the first samples would show what the warm-up left behind.
      await flush(server);
    }
    const load = { pattern: "randwrite", blockBytes: 4096, depth: 1, flushEvery: WRITES_PER_FLUSH } as const;
    for (let round = 0; round < settings.rounds; round++) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        progress.say(`round ${round + 1} of ${settings.rounds}, shadow ${side.shadow}`);
        const uris = Array.from({ length: JOBS }, () => side.server.uris[0] as string);
        const sampler = sampleRetained(side.server, side.retained);
        side.runs.push(
          await measure(bench, side.server, { ...load, seconds: settings.seconds }, uris).finally(sampler.stop),
        );
      }
    }
    const rows: Row[] = sides.map(({ shadow, runs, retained }) => ({
      shadow,
      ...summarize(runs),
      retainedBytes: mean(retained),
    }));
    const ratio = (rows[0]?.iops ?? 0) / (rows[1]?.iops ?? 0);
    const heads = ["shadow", "IOPS", "p50 µs", "p99 µs", "CPU µs/IO", "mean retained KiB"];
    const cells = rows.map((row) => [
      row.shadow,
      figure(row.iops),
      figure(row.p50Us),
      figure(row.p99Us),
      figure(row.cpuUsPerIo),
      figure(row.retainedBytes / 1024),
    ]);
    return {
      report: {
        part: "volatile",
        machine: thisMachine(),
        method:
          `The volatile example driver, 4 KiB random writes, ${JOBS} connections with one request in flight each, a ` +
          `flush after every ${WRITES_PER_FLUSH} writes of a connection; the status sampled every ${SAMPLE_EVERY_MS} ms. ` +
          `${settings.rounds} rounds in turns, ${settings.seconds} s a run, medians.`,
        data: rows,
        tables: [table(heads, cells)],
        verdicts: [
          {
            goal: `shadow on: at least ${LEAST_RATIO} of the writes with it off`,
            measured: ratio.toFixed(2),
            met: ratio >= LEAST_RATIO,
          },
        ],
      },
    };
  },
};

/** Asks for the shadow's size while a run lasts. */
function sampleRetained(server: SkinkServer, into: number[]): { stop(): void } {
  let asking = false;
  const timer = setInterval(() => {
    if (asking) return;
    asking = true;
    deviceStatus(server)
      .then(({ shadow }) => into.push(shadow.bytes))
      // A front that is gone fails the run itself, with a better reason.
      .catch(() => {})
      .finally(() => {
        asking = false;
      });
  }, SAMPLE_EVERY_MS);
  return { stop: () => clearInterval(timer) };
}
