import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseSpec } from "../front/spec.ts";
import type { ProcessFault, TrialPlan, TrialResult } from "./plan.ts";
import { SkinkStand } from "./skink-stand.ts";
import { type StrikeMark, Trial, type TrialParts } from "./trial.ts";

const LIMIT = { timeout: 120_000 };
const LOAD_MS = 50;
const LINGER_MS = 5000;
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

interface Setting extends Partial<Pick<TrialParts, "silenceMs" | "lingerMs" | "outlives">> {
  readonly verify?: "none" | "digests";
  readonly plan?: TrialPlan;
  readonly mark?: StrikeMark | (() => StrikeMark);
  readonly neighbours?: readonly string[];
  readonly Stand?: typeof SkinkStand;
  readonly spec?: string;
  /** Told each line of the story. */
  tell?(line: string, stand: SkinkStand, trial: Trial): void;
}

async function run(setting: Setting): Promise<TrialResult> {
  const { plan = UNSTRUCK, Stand = SkinkStand, spec = "memory:8M", tell = () => {}, ...more } = setting;
  const { verify = "none", outlives = true, neighbours = [], ...others } = more;
  // What nothing carries out isn't waited for.
  const { lingerMs = plan === UNSTRUCK ? 0 : LINGER_MS } = others;
  const { mark = { struck: false, timesMs: [] }, ...rest } = others;
  const common = { strikes: () => trial.strikes, tell: (line: string) => tell(line, stand, trial) };
  const stand = new Stand({
    ...common,
    spec: parseSpec(spec),
    neighbours: neighbours.map((one) => parseSpec(one)),
    verify,
    shadow: true,
  });
  const options = { loadMs: LOAD_MS, verify };
  const trial: Trial = new Trial({
    ...common,
    ...rest,
    plan,
    options,
    stand,
    mark: typeof mark === "function" ? mark : () => mark,
    outlives,
    lingerMs,
  });
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
    const times: (readonly number[])[] = [];
    const tell = (line: string, _: SkinkStand, trial: Trial): void => {
      if (/^(fault: killed|read-back: begins)/.test(line)) times.push(trial.strikes);
    };
    await run({ tell, mark: { struck: true, timesMs: [1] } });
    assert.deepEqual(times, [[], [1]]);
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

test(
  "drivers of three devices that are killed at once, again and again, are all recovered, and the data of each",
  LIMIT,
  async () => {
    const plan = { ...KILL, fault: { ...KILL.fault, kind: "kill-all" } as ProcessFault };
    let kills = 0;
    /** How many were known to have recovered, each time that another device was about to have. */
    const recovered: number[] = [];
    const tell = (line: string, stand: SkinkStand): void => {
      if (line.startsWith("fault of torture-")) kills++;
      if (!line.startsWith("live")) return;
      const { detections } = stand.findings();
      if (detections.length > 0) recovered.push(detections.filter(({ recoverMs }) => recoverMs !== undefined).length);
    };
    const result = await run({ plan, tell, neighbours: ["memory:8M", "memory:8M"] });
    const { outcome, detections, restarts, errors, wrong, state, struckMs = -1 } = result;
    assert.deepEqual([outcome, restarts, errors, wrong, state], ["recovered", detections.length, 0, 0, "live"]);
    // The second strike may find that a neighbour isn't there.
    assert.ok(detections.length >= 4 && detections.length <= 6);
    assert.ok(struckMs >= 0 && result.struckRequests !== undefined);
    // What one device has come back from isn't what the others have; both strikes may be of the same recovery.
    const [none, ofOne = Number.NaN] = recovered;
    assert.ok(none === 0 && ofOne >= 1 && ofOne <= 2, `${recovered}`);
    // Those of the engine's own kill are told, too.
    assert.ok(kills >= 4);
    for (const { detectMs, recoverMs } of detections) assert.ok((detectMs ?? -1) >= 0 && (recoverMs ?? -1) > 0);
  },
);

test("a load goes on until the call has come that is to be struck", LIMIT, async () => {
  let mark: StrikeMark = { struck: false, timesMs: [] };
  const tell = (line: string): void => {
    if (!line.startsWith("load: random")) return;
    setTimeout(() => {
      mark = { struck: true, timesMs: [Date.now()] };
    }, 4 * LOAD_MS);
  };
  const result = await run({ tell, mark: () => mark, lingerMs: LINGER_MS });
  assert.deepEqual([result.outcome, result.struck], ["masked", true]);
  assert.ok(result.loadMs >= 4 * LOAD_MS && result.loadMs < LINGER_MS, `${result.loadMs}`);
});

test("what never comes to rest is a hang, and is ended all the same", LIMIT, async () => {
  const result = await run({ Stand: Restless, silenceMs: 3000, mark: { struck: true, timesMs: [1] } });
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
  const result = await run({ spec: "memory:8X", mark: { struck: true, timesMs: [1] } });
  assert.deepEqual([result.outcome, result.requests, result.errors], ["failed honestly", 0, 1]);
  assert.match(result.firstError ?? "", /8X/);
});

/** In memory; it refuses its first write. */
const RELUCTANT = `
const bytes = Buffer.alloc(8 << 20);
let writes = 0;
export default {
  open: () => ({
    size: bytes.length,
    read: (offset, into) => void into.set(bytes.subarray(offset, offset + into.length)),
    write(offset, from) {
      if (++writes === 1) throw Object.assign(new Error("not now"), { code: "EIO" });
      bytes.set(from, offset);
    },
    flush() {},
  }),
};`;

test("what of the first writes is refused is an error like any other", LIMIT, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "skink-trial-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const spec = join(folder, "reluctant.js");
  writeFileSync(spec, RELUCTANT);
  const { outcome, errors, firstError } = await run({ spec, verify: "digests", outlives: false });
  assert.deepEqual([outcome, errors], ["failed honestly", 1]);
  assert.match(firstError ?? "", /^write: /);
});
