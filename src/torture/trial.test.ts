import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseSpec } from "../front/spec.ts";
import type { TrialPlan, TrialResult } from "./plan.ts";
import { SkinkStand } from "./skink-stand.ts";
import { type StrikeMark, Trial, type TrialParts } from "./trial.ts";

const LIMIT = { timeout: 120_000 };
/** One that nothing carries out here. */
const UNSTRUCK: TrialPlan = {
  index: 0,
  seed: 1,
  fault: { tier: "wire", kind: "late", persistence: "transient", nth: 1 },
  load: "random",
};
const KILL: TrialPlan = {
  ...UNSTRUCK,
  fault: { tier: "process", kind: "kill", persistence: "transient", afterMs: 10, strikes: 2, lastsMs: 0 },
};

/** One that can't be settled. */
class Restless extends SkinkStand {
  override settled(): Promise<void> {
    return new Promise(() => {});
  }
}

interface Setting extends Partial<Pick<TrialParts, "silenceMs">> {
  readonly plan?: TrialPlan;
  readonly mark?: StrikeMark;
  readonly Stand?: typeof SkinkStand;
  readonly spec?: string;
  /** Told each line of the story. */
  tell?(line: string, stand: SkinkStand, trial: Trial): void;
}

async function run(setting: Setting): Promise<TrialResult> {
  const { plan = UNSTRUCK, Stand = SkinkStand, spec = "memory:8M", tell = () => {}, ...others } = setting;
  const { mark = { struck: false, atMs: undefined }, ...rest } = others;
  const common = { struckAt: () => trial.struckAt, tell: (line: string) => tell(line, stand, trial) };
  const stand = new Stand({ ...common, spec: parseSpec(spec), verify: "none", shadow: true });
  const options = { loadMs: 50, verify: "none" } as const;
  const trial: Trial = new Trial({ ...common, ...rest, plan, options, stand, mark: () => mark, outlives: true });
  return await trial.run();
}

test("the engine's own kill counts as nothing that was found", LIMIT, async () => {
  let killed = false;
  const result = await run({ tell: (line) => (killed ||= line.startsWith("the driver is killed")) });
  assert.ok(killed);
  assert.deepEqual([result.outcome, result.detections, result.restarts], ["no effect", [], 0]);
  assert.equal(result.incident, undefined);
});

test(
  "the engine's own kill isn't the fault's, whose time since the strike is for what is found later",
  LIMIT,
  async () => {
    const times: (number | undefined)[] = [];
    const tell = (line: string, _: SkinkStand, trial: Trial): void => {
      if (/^(fault: killed|read-back: begins)/.test(line)) times.push(trial.struckAt);
    };
    await run({ tell, mark: { struck: true, atMs: 1 } });
    assert.deepEqual(times, [undefined, 1]);
  },
);

test("each strike of a row is detected, and recovered from, and then comes the engine's own kill", LIMIT, async () => {
  let killed = false;
  const tell = (line: string): void => {
    killed ||= line.startsWith("the driver is killed");
  };
  const { outcome, detections, restarts, errors, state } = await run({ plan: KILL, tell });
  assert.ok(killed);
  assert.deepEqual([outcome, restarts, errors, state], ["recovered", 2, 0, "live"]);
  assert.deepEqual(
    detections.map(({ kind }) => kind),
    ["killed", "killed"],
  );
  for (const { detectMs, recoverMs } of detections) assert.ok((detectMs ?? -1) >= 0 && (recoverMs ?? -1) > 0);
});

test("what never comes to rest is a hang, and is ended all the same", LIMIT, async () => {
  const result = await run({ Stand: Restless, silenceMs: 3000, mark: { struck: true, atMs: 1 } });
  assert.equal(result.outcome, "hang");
  assert.match(result.firstError ?? "", /in vain for the device to serve again/);
});

test("a driver that is given up though nothing struck it is an incident", LIMIT, async () => {
  const { incident, outcome } = await run({
    tell: (line, stand) => {
      if (line.startsWith("load: random")) process.kill(stand.victim() as number, "SIGKILL");
    },
  });
  assert.equal(outcome, "recovered");
  assert.match(incident ?? "", /killed: killed by SIGKILL\) although nothing had struck/);
});

test("a driver that can't start has failed honestly", LIMIT, async () => {
  const result = await run({ spec: "memory:8X", mark: { struck: true, atMs: 1 } });
  assert.deepEqual([result.outcome, result.requests, result.errors], ["failed honestly", 0, 1]);
  assert.match(result.firstError ?? "", /8X/);
});
