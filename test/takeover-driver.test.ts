/** What a front that takes over does while the one before still serves. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Takeover } from "../src/front/takeover.ts";
import { ServiceManager } from "../src/service/service-manager.ts";
import { inScene } from "./scene.ts";
import { serve } from "./serve.ts";
import { failTakeOver, takeOver } from "./takeover-scene.ts";

/** A disk of nothing that tells a file what its processes do. */
const TELLING_DRIVER = `
  import { appendFileSync } from "node:fs";
  const tell = (what) => appendFileSync(new URL("told", import.meta.url), what + "\\n");
  tell("loaded");
  export default {
    open() {
      tell("opened");
      return { size: 1 << 20, read() {}, write() {}, flush() {}, close: () => tell("closed") };
    },
  };
`;

test("the driver is loaded before the old front closes its own, and opened afterwards", () =>
  inScene(async (scene) => {
    const spec = scene.write("telling.mjs", TELLING_DRIVER);
    const old = await serve(scene, spec);
    const next = await takeOver(scene, old, spec);
    await next.stop();
    const told = readFileSync(scene.path("told"), "utf8").trim().split("\n");
    assert.deepEqual(told, ["loaded", "opened", "loaded", "closed", "opened", "closed"]);
  }));

test("a driver that can't be loaded any more is said, and the old front serves on", () =>
  inScene(async (scene) => {
    const spec = scene.write("telling.mjs", TELLING_DRIVER);
    const old = await serve(scene, spec);
    scene.write("telling.mjs", "import './missing.mjs';");
    const { code, stderr } = await failTakeOver(scene, spec);
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot [^\n]*missing\.mjs[^\n]*\n$/);
    assert.equal((await old.device()).state, "live");
    await old.stop();
    assert.equal(readFileSync(scene.path("told"), "utf8"), "loaded\nopened\nclosed\n");
  }));

test("a front without one of the devices takes nothing over, and the old one serves on", () =>
  inScene(async (scene) => {
    const old = await serve(scene, "memory:1M");
    const { code, stderr } = await failTakeOver(scene, "memory:1M", ["--name", "second"]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Cannot take over from [^\n]*: it serves memory, all of its devices were wanted here[^\n]*\n$/,
    );
    assert.equal((await old.device()).state, "live");
    await old.stop();
  }));

test("who has the offer of one front doesn't get the last word from the next one", () =>
  inScene(async (scene) => {
    const spec = scene.write("telling.mjs", TELLING_DRIVER);
    const old = await serve(scene, spec);
    const late = await Takeover.begin(old.control, ServiceManager.nobody());
    const next = await takeOver(scene, old, spec);
    await assert.rejects(late.finish(), { code: "wrong-state" });
    assert.equal((await next.device()).state, "live");
    await next.stop();
  }));
