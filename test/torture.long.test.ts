/** Campaigns with real processes: what `skink torture` finds, and that it finds what is there. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type CampaignOrder, runCampaign } from "../src/torture/campaign.ts";
import { type Campaign, PROCESS_KINDS, type TrialResult } from "../src/torture/plan.ts";
import { isBad } from "../src/torture/report/summary.ts";
import { processesOf } from "./leftovers.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene, SKINK } from "./scene.ts";
import { until } from "./until.ts";

const VOLATILE = `${EXAMPLES}/volatile.ts?size=8M`;
/** Each kind of process fault once. */
const ROUND = PROCESS_KINDS.length;
const START_MS = 30_000;
const NBDKIT = { skip: peer("nbdkit") };

const ORDER: Omit<CampaignOrder, "spec"> = {
  seed: 5,
  tiers: ["process"],
  persistence: undefined,
  verify: "none",
  shadow: true,
  recovery: undefined,
  loadMs: 60,
  trials: ROUND,
};

async function campaign(spec: string, changes: Partial<CampaignOrder> = {}): Promise<Campaign> {
  return await runCampaign({ ...ORDER, spec, ...changes }, { trial: () => {} });
}

/** For messages of tests: what made a trial a bad one. */
function brief({ plan, outcome, incident, firstWrong, firstError }: TrialResult): string {
  return JSON.stringify({ index: plan.index, fault: plan.fault, outcome, incident, firstWrong, firstError });
}

for (const spec of ["memory:8M", "file:{disk}", VOLATILE]) {
  test(`no transient fault of its process loses anything of ${spec.replace(EXAMPLES, ".")}`, async () => {
    const { trials } = await campaign(spec, { persistence: "transient" });
    assert.equal(trials.length, ROUND);
    assert.deepEqual(trials.filter(isBad).map(brief), []);
    assert.ok(trials.every(({ struck, errors }) => struck && errors === 0));
    // All but the stops, which may be too short to be noticed.
    assert.ok(trials.filter(({ outcome }) => outcome === "recovered").length >= ROUND - ROUND / PROCESS_KINDS.length);
  });
}

test("a fault that is in each incarnation ends in errors at worst", async () => {
  const { trials } = await campaign("memory:8M", { persistence: "persistent" });
  assert.deepEqual(trials.filter(isBad).map(brief), []);
  assert.ok(trials.every(({ struck }) => struck));
});

test("a driver that forgets what it has acknowledged is found out", async () => {
  const { trials } = await campaign(VOLATILE, { shadow: false, persistence: "transient" });
  const silent = trials.filter(({ outcome }) => outcome === "silent");
  assert.ok(silent.length > 0);
  assert.ok(silent.every(({ firstWrong }) => firstWrong !== undefined));
});

test("a server that stands alone loses nothing that it has given to the page cache", NBDKIT, async () => {
  const spec = "exec:nbdkit -f -U {socket} file {disk}";
  const { trials, versions } = await campaign(spec, { shadow: false, recovery: "client", trials: 4 });
  assert.deepEqual(trials.filter(isBad).map(brief), []);
  assert.match(versions.nbdkit ?? "", /\d/);
});

test("one trial of a campaign is made again by its number", async () => {
  const { trials } = await campaign("memory:8M", { trials: 2, tiers: ["code", "wire"] });
  const { trials: again } = await campaign("memory:8M", { trials: 2, tiers: ["code", "wire"], only: 1 });
  assert.deepEqual(
    again.map(({ plan }) => plan),
    trials.slice(1).map(({ plan }) => plan),
  );
});

test("a store that the next trial would find used is refused", () =>
  inScene(async (scene) => {
    const { code, stderr } = await scene.skink("torture", `${VOLATILE}&path=${scene.path("disk")}`, "--trials", "1");
    assert.equal(code, 1);
    assert.match(stderr, /its store is not empty/);
  }));

test("what makes no sense is bad usage", () =>
  inScene(async (scene) => {
    for (const args of [
      [],
      ["memory:8M", "--tier", "wires"],
      ["nbd://localhost/disk"],
      ["memory:8M", "--trials", "0"],
    ]) {
      const { code, stderr } = await scene.skink("torture", ...args);
      assert.equal(code, 2, `${args}: ${stderr}`);
    }
  }));

test("silent loss ends with exit code 1, and the command that makes the trial again, which tells its story", () =>
  inScene(async (scene) => {
    const args = ["--tier", "process", "--persistence", "transient", "--no-shadow", "--load-ms", "80"];
    const { code, stdout } = await scene.skink("torture", VOLATILE, "--trials", "6", "--seed", "5", ...args);
    assert.equal(code, 1);
    assert.match(stdout, /SILENT/);
    const only = /--only (\d+)$/m.exec(stdout)?.[1] as string;
    const again = await scene.skink("torture", VOLATILE, "--seed", "5", ...args, "--only", only);
    assert.match(again.stdout, /ms {2}load: .*\n(.*\n)*.*ms {2}read-back: ended/);
  }));

for (const [signal, what] of [
  ["SIGINT", "ends in order, with a report"],
  ["SIGKILL", "takes everything along"],
] as const) {
  test(`a campaign that is ended by ${signal} ${what}`, () =>
    inScene(async (scene) => {
      const child = scene.spawn(process.execPath, [SKINK, "torture", "memory:8M", "--tier", "process", "--jobs", "2"]);
      let said = "";
      child.stdout?.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      const ended = new Promise((resolve) => child.once("close", (code, by) => resolve(code ?? by)));
      const hosts = (): number => processesOf(scene.folder).filter(({ command }) => /--eval/.test(command)).length;
      await until("two drivers", START_MS, () => hosts() >= 2 || undefined);
      child.kill(signal);
      assert.equal(await ended, signal === "SIGINT" ? 1 : "SIGKILL");
      if (signal === "SIGINT") assert.match(said, /trials? in/);
      assert.deepEqual(await scene.leftovers(10_000), []);
    }));
}
