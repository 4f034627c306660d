import { strict as assert } from "node:assert";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MAX_STORED_DESCRIPTORS } from "../src/guard/descriptor-store.ts";
import { DEFAULT_POLICY } from "../src/supervisor/policy.ts";
import { peer } from "./peers.ts";
import { inScene, type Scene, SKINK } from "./scene.ts";

const PACKAGING = fileURLToPath(new URL("../packaging", import.meta.url));
/** systemd's own scale: from here on it says MEDIUM. */
const MAX_EXPOSURE = 5;
const skip = peer("systemd-analyze");

test("systemd understands every line of the units", { skip }, () =>
  inScene(async (scene) => {
    const folder = unitsIn(scene);
    const all = await verify(scene, folder);
    // Older ones say of the drop-in that they don't know what it is there for.
    assert.deepEqual(
      all.lines.filter((line) => !/systemd-254\.conf:\d+: Unknown key/.test(line)),
      [],
    );
    rmSync(`${folder}/skink@.service.d`, { recursive: true });
    assert.deepEqual(await verify(scene, folder), { code: 0, lines: [] });
  }),
);

test("the service can do little that a front doesn't need", { skip }, () =>
  inScene(async (scene) => {
    const unit = `${unitsIn(scene)}/skink@.service`;
    const threshold = `--threshold=${MAX_EXPOSURE * 10}`;
    const { code, stdout, stderr } = await scene.run("systemd-analyze", [
      "security",
      "--offline=true",
      threshold,
      unit,
    ]);
    assert.equal(code, 0, stdout + stderr);
  }),
);

test("the service's figures go with the front's", () => {
  const unit = readFileSync(`${PACKAGING}/skink@.service`, "utf8");
  const figure = (key: string): number => Number.parseInt(new RegExp(`^${key}=(\\d+)`, "m").exec(unit)?.[1] ?? "", 10);
  assert.equal(figure("FileDescriptorStoreMax"), MAX_STORED_DESCRIPTORS);
  assert.ok(figure("TimeoutStopSec") * 1000 > DEFAULT_POLICY.stopTimeoutMs);
});

/** What systemd says of an instance of each unit. */
async function verify(scene: Scene, folder: string): Promise<{ code: number | null; lines: string[] }> {
  const units = ["skink@disk.service", "skink@disk.socket"].map((name) => `${folder}/${name}`);
  for (const unit of units) cpSync(unit.replace("@disk", "@"), unit);
  const { code, stderr } = await scene.run("systemd-analyze", ["verify", "--recursive-errors=no", ...units]);
  return { code, lines: stderr.split("\n").filter((line) => line.includes("skink")) };
}

/** The units, with a command that is there on this machine. */
function unitsIn(scene: Scene): string {
  const folder = scene.path("units");
  cpSync(PACKAGING, folder, { recursive: true });
  const path = `${folder}/skink@.service`;
  const unit = readFileSync(path, "utf8");
  writeFileSync(path, unit.replace("ExecStart=skink", `ExecStart=${process.execPath} ${SKINK}`));
  return folder;
}
