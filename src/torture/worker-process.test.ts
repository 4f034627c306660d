import { strict as assert } from "node:assert";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { newMark } from "../link/process-mark.ts";
import { hasEnded, readStat } from "../os/process-stat.ts";
import type { CampaignOptions, TrialPlan } from "./plan.ts";
import { waitFor } from "./wait.ts";
import { WorkerProcess } from "./worker-process.ts";

const LIMIT = { timeout: 120_000 };
const OPTIONS: CampaignOptions = {
  spec: "memory:8M",
  seed: 1,
  tiers: ["process"],
  persistence: undefined,
  verify: "none",
  shadow: true,
  recovery: undefined,
  loadMs: 50,
};
const PLAN: TrialPlan = {
  index: 0,
  seed: 1,
  fault: { tier: "process", kind: "kill", persistence: "transient", afterMs: 10, strikes: 1, lastsMs: 0 },
  load: "random",
};

function worker(t: TestContext): { worker: WorkerProcess; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "skink-workers-"));
  const made = new WorkerProcess(join(folder, "0"), newMark([]));
  t.after(async () => {
    await made.end();
    rmSync(folder, { recursive: true });
  });
  return { worker: made, folder };
}

function childrenOf(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.flatMap((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  });
}

/** Somebody may still have to take notice of its end. */
function isOver(pid: number): boolean {
  const stat = readStat(pid);
  return stat === undefined || hasEnded(stat);
}

test("a worker makes one trial after another, and leaves nothing of them", LIMIT, async (t) => {
  const { worker: one, folder } = worker(t);
  for (let i = 0; i < 2; i++) {
    const result = await one.trial(PLAN, OPTIONS, () => {});
    assert.deepEqual([result.outcome, result.incident, result.restarts], ["recovered", undefined, 1]);
    assert.ok((result.driverCpuMs ?? -1) >= 0 && (result.frontCpuMs ?? -1) > 0);
  }
  assert.deepEqual(readdirSync(join(folder, "0")), []);
  const [pid] = childrenOf(process.pid);
  assert.deepEqual(childrenOf(pid as number), []);
});

test(
  "a worker that dies is an incident of its trial, its drivers go with it, and another one takes its place",
  LIMIT,
  async (t) => {
    const { worker: one } = worker(t);
    let descendants: number[] = [];
    const kill = (_atMs: number, text: string): void => {
      if (!text.startsWith("load: random")) return;
      const [pid] = childrenOf(process.pid);
      descendants = childrenOf(pid as number);
      process.kill(pid as number, "SIGKILL");
    };
    const result = await one.trial(PLAN, OPTIONS, kill);
    assert.equal(result.outcome, "hang");
    assert.match(result.incident ?? "", /the worker ended with SIGKILL/);
    assert.ok(descendants.length > 0);
    // What holds a driver's memory, and nothing else, goes a moment later.
    assert.ok(await waitFor(10_000, () => descendants.every(isOver) || undefined));
    assert.equal((await one.trial(PLAN, OPTIONS, () => {})).outcome, "recovered");
  },
);

test("who waits for a worker that is ended is told so", LIMIT, async (t) => {
  const { worker: one } = worker(t);
  const started = Promise.withResolvers<void>();
  const trial = one.trial(PLAN, OPTIONS, () => started.resolve());
  await started.promise;
  await one.end();
  assert.match((await trial).incident ?? "", /it was ended/);
});
