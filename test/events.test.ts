/** `skink events`: what happened to a device can be followed, by people and by machines. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { FrontEvent } from "../src/front/events.ts";
import { newest, nextEvent } from "./front-events.ts";
import { ended, inScene, SKINK } from "./scene.ts";
import { serve } from "./serve.ts";
import { SickDisk, signal } from "./sick-disk.ts";

const NAME = "disk";
const TYPES = ["live", "fault", "reaped", "restart", "live", "reaped", "stopped"];

test("events tell the life of a device, each with its reason, to whoever follows them until the front's end", () =>
  inScene(async (scene) => {
    const disk = new SickDisk(scene, NAME, "size=1M");
    const front = await serve(scene, disk.spec, { args: ["--name", NAME] });
    const followers = [[], ["--json"]].map((options) =>
      ended(scene.spawn(process.execPath, [SKINK, "events", "--control", front.control, ...options])),
    );
    const after = await newest(front);
    await signal(front, NAME, "SIGSTOP");
    await nextEvent(front, "live", { after });
    const soFar = await scene.skink("events", "--no-follow", "--json", "--control", front.control);
    await front.stop();
    const [text, json] = await Promise.all(followers);
    assert.deepEqual([text?.code, json?.code, soFar.code], [0, 0, 0]);

    const events = eventsIn(json?.stdout ?? "");
    assert.deepEqual(
      events.map(({ type }) => type),
      TYPES,
    );
    assert.deepEqual(eventsIn(soFar.stdout), events.slice(0, -2));
    assert.deepEqual(
      events.map(({ seq }) => seq),
      [1, 2, 3, 4, 5, 6, 7],
    );
    const [first = 0] = events.map(({ epoch }) => epoch);
    assert.deepEqual(
      events.map(({ epoch }) => epoch - first),
      [0, 0, 0, 1, 1, 1, 1],
    );
    for (const event of events) {
      assert.deepEqual([event.device, event.driver], [NAME, "sick-driver.ts"]);
      assert.notEqual(event.reason, "");
      assert.equal(new Date(event.time).toISOString(), event.time);
    }

    const lines = text?.stdout.trimEnd().split("\n") ?? [];
    assert.equal(lines.length, TYPES.length);
    for (const [index, type] of TYPES.entries()) assert.match(lines[index] ?? "", new RegExp(`  ${NAME}  ${type} `));
    assert.match(lines[1] ?? "", /stopped: /);
  }));

function eventsIn(text: string): FrontEvent[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}
