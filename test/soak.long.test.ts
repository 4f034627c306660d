/** The soak itself: that it finds what is lost, ends with a report, and leaves nothing behind. */
import { strict as assert } from "node:assert";
import type { ChildProcess } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { SoakReport } from "../scripts/soak-run.ts";
import { ended, inScene, type Scene } from "./scene.ts";
import { until, within } from "./until.ts";

const SOAK = fileURLToPath(new URL("../scripts/soak.ts", import.meta.url));
const KILLS = 300;
const SOAK_TIMEOUT_MS = 160_000;
const PROGRESS_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 30_000;

/** Drops one write in fifty, and says that it is done. */
const FORGETFUL = `
  let writes = 0;
  export default {
    open(_options, context) {
      const disk = context.keep("disk", 8 << 20);
      return {
        size: disk.length,
        read: (offset, into) => into.set(disk.subarray(offset, offset + into.length)),
        write: (offset, from) => { if (++writes % 50 > 0) disk.set(from, offset); },
        flush() {},
      };
    },
  };
`;

async function soak(scene: Scene, ...args: string[]): Promise<{ readonly code: number | null; report: SoakReport }> {
  const { code, stdout, stderr } = await scene.run(process.execPath, [SOAK, "--json", ...args], SOAK_TIMEOUT_MS);
  assert.notEqual(stdout, "", stderr);
  return { code, report: JSON.parse(stdout) };
}

/** Waits until it says how far it is. */
async function underWay(child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.on("data", (text: string) => {
    said += text;
  });
  await until("the first kills", PROGRESS_TIMEOUT_MS, () => (/^[1-9]\d* of /m.test(said) ? true : undefined));
}

test(`${KILLS} kills of drivers with a volatile cache lose nothing, at any time of their lives`, () =>
  inScene(async (scene) => {
    const { code, report } = await soak(scene, "--kills", `${KILLS}`, "--devices", "3");
    const { kills, killsByState, readBacks, requests, errors, lost, failures } = report;
    assert.deepEqual({ errors, lost, failures }, { errors: 0, lost: 0, failures: [] }, JSON.stringify(report));
    assert.equal(kills, KILLS);
    assert.ok((killsByState.live ?? 0) > 0 && (killsByState.recovering ?? 0) > 0, JSON.stringify(killsByState));
    assert.ok(readBacks >= 3 && requests > 0);
    assert.equal(code, 0);
  }));

test("a soak of a driver that loses writes ends with exit code 1 at once, and says why", () =>
  inScene(async (scene) => {
    scene.write("forgetful.mjs", FORGETFUL);
    const args = ["--kills", `${KILLS}`, "--devices", "1", "--spec", "./forgetful.mjs", "--seed", "1"];
    const { code, report } = await soak(scene, ...args);
    assert.equal(code, 1);
    // Skink finds it out by itself, unless a client is first.
    const { wrongs, failures } = report;
    assert.match([...wrongs, ...failures][0] ?? "", /^disk0: lost|^disk0 is failed: .* another store/);
    assert.ok(report.kills < KILLS);
  }));

test("a soak that is interrupted says how far it came", () =>
  inScene(async (scene) => {
    const child = scene.spawn(process.execPath, [SOAK, "--json", "--kills", "100000", "--devices", "2"]);
    const end = ended(child);
    await underWay(child);
    child.kill("SIGINT");
    const { code, stdout } = await within("the end of the soak", END_TIMEOUT_MS, end);
    const { kills, lost, errors, failures }: SoakReport = JSON.parse(stdout);
    assert.ok(kills > 0);
    assert.deepEqual({ lost, errors, failures }, { lost: 0, errors: 0, failures: [] });
    assert.equal(code, 130);
  }));

test("a soak that is killed takes its front and drivers along", () =>
  inScene(async (scene) => {
    const child = scene.spawn(process.execPath, [SOAK, "--kills", "100000", "--devices", "2"]);
    await underWay(child);
    child.kill("SIGKILL");
    await until("its processes to go", END_TIMEOUT_MS, async () =>
      (await scene.leftovers(0)).some((line) => line.startsWith("process")) ? undefined : true,
    );
    // Nobody was left to remove its folder.
    for (const name of readdirSync(scene.path("tmp"))) rmSync(scene.path(`tmp/${name}`), { recursive: true });
  }));

test("a soak without sense is bad usage", () =>
  inScene(async (scene) => {
    for (const [args, said] of [
      [["--kills", "none"], /^Cannot use --kills none: a whole number from 1 on was wanted\nusage:/],
      [["--spec", "nosuch:1"], /^Cannot serve "nosuch:1": there is no driver nosuch, [^\n]* was wanted\nusage:/],
    ] as const) {
      const { code, stderr } = await scene.run(process.execPath, [SOAK, ...args]);
      assert.equal(code, 2);
      assert.match(stderr, said);
    }
  }));

test("a soak whose driver can't be served says so in place of a stack, with exit code 1", () =>
  inScene(async (scene) => {
    scene.write("broken.mjs", "export default { open() { throw new Error('no store today'); } };");
    const { code, stderr } = await scene.run(process.execPath, [SOAK, "--kills", "5", "--spec", "./broken.mjs"]);
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot start .*no store today/s);
    assert.doesNotMatch(stderr, /^ {4}at /m);
  }));
