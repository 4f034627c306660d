/** `skink events` and `skink upgrade` as processes, on the control socket of a front that only talks. */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { SkinkError } from "../block/errors.ts";
import type { ControlRequest, UpgradeResult } from "../front/control-protocol.ts";
import { ControlServer } from "../front/control-server.ts";
import { EventLog } from "../front/events.ts";
import type { DeviceEvent } from "../supervisor/event.ts";

const SKINK = fileURLToPath(new URL("../../bin/skink.js", import.meta.url));
const FAULT: DeviceEvent = { type: "fault", fault: "exit", epoch: 7, driver: "memory", reason: "exit code 1" };

const folder = realpathSync(mkdtempSync(join(tmpdir(), "skink-cli-")));
after(() => rmSync(folder, { recursive: true }));

test("events are a line each, aligned, and --no-follow ends after those that are remembered", async (t) => {
  const { path, log } = await listen(t);
  log.add("disk", FAULT);
  log.add("disk-2", { ...FAULT, type: "held", reason: "no driver" });
  log.add("disk", { ...FAULT, type: "reaped" });
  const { code, stdout } = await ended(skink("events", "--no-follow", "--control", path));
  assert.equal(code, 0);
  const lines = stdout.trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => line.slice("17:02:11.204  ".length)),
    [
      "disk    fault      epoch 7  memory  exit: exit code 1",
      "disk-2  held       epoch 7  memory  no driver",
      "disk    reaped     epoch 7  memory  exit code 1",
    ],
  );
});

test("events --json is an object a line, each as soon as it happens, until the front ends", async (t) => {
  const { path, log, server } = await listen(t);
  const added = log.add("disk", FAULT);
  const child = skink("events", "--json", "--control", path);
  const lines = createInterface(child.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]();
  const line = async () => JSON.parse((await lines.next()).value as string);
  assert.deepEqual(await line(), added);
  const second = log.add("disk", { ...FAULT, type: "reaped" });
  assert.deepEqual(await line(), second);
  const end = ended(child);
  await server.close();
  assert.equal((await end).code, 0);
});

test("Ctrl-C ends events well", async (t) => {
  const { path, log } = await listen(t);
  log.add("disk", FAULT);
  const child = skink("events", "--control", path);
  const end = ended(child);
  await once(child.stdout as NodeJS.ReadableStream, "data");
  child.kill("SIGINT");
  assert.deepEqual({ ...(await end), stdout: "" }, { code: 0, stdout: "", stderr: "" });
});

test("a reader that has seen enough ends events quietly", async (t) => {
  const { path, log } = await listen(t);
  log.add("disk", FAULT);
  const child = skink("events", "--control", path);
  const end = ended(child);
  await once(child.stdout as NodeJS.ReadableStream, "data");
  child.stdout?.destroy();
  log.add("disk", FAULT);
  assert.deepEqual({ ...(await end), stdout: "" }, { code: 0, stdout: "", stderr: "" });
});

test("a pipeline whose reader has seen enough ends, although nothing happens any more", async (t) => {
  const { path, log } = await listen(t);
  log.add("disk", FAULT);
  const pipeline = '"$0" "$1" events --control "$2" | head -n 1';
  const shell = spawn("/bin/sh", ["-c", pipeline, process.execPath, SKINK, path], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  // The end of both: whoever is left keeps stderr open.
  const { code, stdout, stderr } = await ended(shell);
  assert.deepEqual([code, stdout.split("\n").length, stderr], [0, 2, ""]);
});

test("events of a front that isn't there fail in one line", async () => {
  const { code, stderr } = await ended(skink("events", "--control", join(folder, "nobody")));
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot ask the front at \S+: ENOENT, [^\n]*\n$/);
});

test("upgrade says what came of it and how long it took; a relative path means what was typed", async (t) => {
  const asked: ControlRequest[] = [];
  const { path } = await listen(t, (request) => {
    asked.push(request);
    return { outcome: request.wait ? "upgraded" : "on probation", epoch: 8, stallMs: 6.123 };
  });
  const upgrade = (...args: string[]) => ended(skink("upgrade", "disk", "./new.ts", ...args, "--control", path));
  const waited = await upgrade();
  assert.equal(waited.stdout, "upgraded disk to ./new.ts: epoch 8, requests waited for at most 6.1 ms\n");
  assert.deepEqual([waited.code, waited.stderr], [0, ""]);
  const { stdout } = await upgrade("--no-wait");
  assert.match(stdout, /^handed disk over, on probation, to \.\/new\.ts: epoch 8/);
  const json = await upgrade("--json");
  assert.deepEqual(JSON.parse(json.stdout), { outcome: "upgraded", epoch: 8, stallMs: 6.123 });
  const request = { command: "upgrade", name: "disk", spec: "./new.ts", base: folder };
  assert.deepEqual(
    asked,
    [true, false, true].map((wait) => ({ ...request, wait })),
  );
});

for (const [served, when] of [
  [true, "on probation"],
  [false, "it could not take over"],
] as const) {
  test(`an upgrade that was rolled back fails with the reason, in JSON too: ${when}`, async (t) => {
    const result = { outcome: "rolled back", served, epoch: 9, stallMs: 20, reason: "exit code 3" } as const;
    const { path } = await listen(t, () => result);
    const { code, stdout, stderr } = await ended(skink("upgrade", "disk", "memory:1M", "--json", "--control", path));
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(stdout), result);
    const now = "the old driver serves again (epoch 9, requests waited for at most 20.0 ms)";
    assert.equal(stderr, `Cannot upgrade disk to memory:1M: ${when}: exit code 3; ${now}\n`);
  });
}

test("an upgrade to a command of several lines is said in one", async (t) => {
  const { path } = await listen(t, () => ({ outcome: "upgraded", epoch: 8, stallMs: 1 }));
  const { stdout } = await ended(skink("upgrade", "disk", "exec:a\nb", "--control", path));
  assert.match(stdout, /^upgraded disk to "exec:a\\nb": [^\n]*\n$/);
});

test("an upgrade that changed nothing says so in JSON", async (t) => {
  const reason = "Cannot upgrade disk: it does not load";
  const { path } = await listen(t, () => {
    throw new SkinkError("upgrade-refused", reason);
  });
  const { code, stdout, stderr } = await ended(skink("upgrade", "disk", "memory:1M", "--json", "--control", path));
  assert.deepEqual([code, stderr], [1, `${reason}\n`]);
  assert.deepEqual(JSON.parse(stdout), { outcome: "refused", code: "upgrade-refused", reason });
});

for (const [error, exitCode] of [
  ["bad-spec", 2],
  ["wrong-state", 1],
] as const) {
  test(`an upgrade that ends in ${error} has exit code ${exitCode}`, async (t) => {
    const { path } = await listen(t, () => {
      throw new SkinkError(error, "Cannot do that");
    });
    const { code, stdout, stderr } = await ended(skink("upgrade", "disk", "memroy:1M", "--control", path));
    assert.deepEqual([code, stdout, stderr], [exitCode, "", "Cannot do that\n"]);
  });
}

type Upgrade = (request: Extract<ControlRequest, { command: "upgrade" }>) => UpgradeResult;

async function listen(t: TestContext, upgrade?: Upgrade) {
  const log = new EventLog();
  const path = join(folder, t.name.replaceAll(/\W/g, "").slice(0, 30));
  const server = await ControlServer.listen(path, (request, signal) => {
    if (request.command === "upgrade") return upgrade?.(request);
    if (request.command === "status") return { devices: [{ name: "disk" }, { name: "disk-2" }] };
    assert.equal(request.command, "events");
    return log.follow(1, request.follow ? signal : AbortSignal.abort());
  });
  t.after(() => server.close());
  return { path, log, server };
}

function skink(...args: string[]): ChildProcess {
  return spawn(process.execPath, [SKINK, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  }
  const [code] = await once(child, "close");
  return { code, ...said };
}
