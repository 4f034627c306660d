import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { onStage, Stage } from "../../link/testing/stage.ts";
import type { ProcessFault } from "../plan.ts";
import { type DriverOrders, TAMPER_OPTION } from "./orders.ts";
import { Strikes } from "./strikes.ts";
import { newFolder } from "./testing.ts";

const TAMPERED = new URL("./tampered-driver.ts", import.meta.url).href;
const LOADED = /^loaded by \d+$/;
const FAULT: ProcessFault = {
  tier: "process",
  kind: "exit",
  persistence: "transient",
  afterMs: 0,
  strikes: 2,
  lastsMs: 0,
};

test("a spare host that has loaded the driver is no incarnation before it opens", { timeout: 20_000 }, async (t) => {
  const folder = newFolder(t);
  const real = join(folder, "real.js");
  writeFileSync(
    real,
    `console.log("loaded by " + process.pid); export default { open: () => ({ size: 4096, read() {} }) };`,
  );
  const orders: DriverOrders = { fault: FAULT, module: pathToFileURL(real).href, folder, changed: "" };
  const options = { [TAMPER_OPTION]: JSON.stringify(orders) };
  const strikes = new Strikes(folder);
  const text = `export { default } from ${JSON.stringify(TAMPERED)};`;
  await onStage(new Stage("process", text, options, "driver.ts", { standby: true }), async (stage) => {
    // The next incarnation is to be struck as it opens.
    const first = stage.printed(LOADED);
    await stage.open(1);
    await first;
    await stage.printed(LOADED);
    strikes.claim(1);
    stage.incarnations.kill(1);
    await stage.recorder.seen("exited", 1);
    assert.equal(strikes.count, 1);
    stage.start(2);
    await stage.recorder.seen("exited", 2);
    assert.equal(strikes.count, 2);
  });
});
