/**
 * Loaded by Node before a front's own code, as --import front-marks.ts?to=FILE: writes marks from what Node itself tells of the
 * process, so that a front has nothing in it for being measured. See diagnostics_channel, "Built-in Channels".
 */
import { subscribe } from "node:diagnostics_channel";
import { writeMark } from "./marks.ts";

const file = new URL(import.meta.url).searchParams.get("to") ?? "";
let listened = 0;
let hasDriver = false;

writeMark(file, "started", performance.timeOrigin);
writeMark(file, "running");
subscribe("net.client.socket", () => {
  if (listened === 0) writeMark(file, "asking");
});
subscribe("tracing:net.server.listen:asyncStart", () => {
  listened++;
  if (listened === 1) writeMark(file, "control");
  if (listened === 2) writeMark(file, "clients");
});
subscribe("child_process", () => {
  if (listened !== 1 || hasDriver) return;
  hasDriver = true;
  writeMark(file, "driver");
});
