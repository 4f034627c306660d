import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { groupRuns } from "../link/process-group.ts";
import { HealthCheck, type HealthConfig } from "./health-check.ts";

const CONTEXT = { device: "disk", epoch: 7, uri: "nbd+unix:///disk?socket=/s", pid: 42 };
const SUBJECT = { ...CONTEXT, uri: () => CONTEXT.uri };

const folder = mkdtempSync(join(tmpdir(), "skink-health-"));
after(() => rmSync(folder, { recursive: true }));

test("a command that fails so many times in a row makes the driver sick, with its last words", async (t) => {
  const { check, sick, said } = checkBy(t, command("echo one; echo two; exit 3"), { failures: 2 });
  check.start(SUBJECT);
  assert.deepEqual(await sick, [7, "its health check failed 2 times in a row: exit code 3: two"]);
  assert.deepEqual(said, [
    "disk: health check failed (1 of 2): exit code 3: two",
    "disk: health check failed (2 of 2): exit code 3: two",
  ]);
});

test("a failure between successes is forgiven", async (t) => {
  const line = "echo x >> runs; case $(wc -l < runs) in 2|4|8|9) exit 1; esac";
  const { check, sick } = checkBy(t, command(line), { failures: 2 });
  check.start(SUBJECT);
  await sick;
  assert.equal(readFileSync(join(folder, "runs"), "utf8"), "x\n".repeat(9));
});

test("a command that is late is killed, and has failed", async (t) => {
  const { check, sick } = checkBy(t, command("echo $PPID > late; echo waiting; sleep 1000"), { timeoutMs: 200 });
  check.start(SUBJECT);
  assert.deepEqual(await sick, [7, "its health check failed: not done within 200 ms: waiting"]);
  assert.equal(groupRuns(Number(readFileSync(join(folder, "late"), "utf8"))), false);
});

test("a command knows what it checks", async (t) => {
  const line = 'echo "$SKINK_DEVICE $SKINK_EPOCH $SKINK_URI $SKINK_PID"; exit 1';
  const { check, sick } = checkBy(t, command(line), {});
  check.start(SUBJECT);
  assert.match((await sick)[1], /: disk 7 nbd\+unix:\/\/\/disk\?socket=\/s 42$/);
});

test("nothing is checked that clients can't reach yet", async (t) => {
  const { check, sick } = checkBy(t, command('echo "$SKINK_URI" >> reached; exit 1'), {});
  const uris = ["", "", "nbd://here"];
  check.start({ ...SUBJECT, uri: () => uris.shift() ?? "" });
  await sick;
  assert.equal(readFileSync(join(folder, "reached"), "utf8"), "nbd://here\n");
});

test("a check that can't be run is said once, and is no fault of the driver", async (t) => {
  const line = "echo x >> unusable; [ $(wc -l < unusable) -lt 4 ] || exit 1; no-such-command";
  const { check, sick, said } = checkBy(t, command(line), {});
  check.start(SUBJECT);
  await sick;
  assert.match(said[0] as string, /^disk: the health check can't be run: exit code 127: .*no-such-command/);
  assert.equal(said.length, 2);
});

test("a stop ends the check that is running, and no other comes", async (t) => {
  const pipe = join(folder, "stopped");
  const { check, sick } = checkBy(t, command("echo $PPID > stopped; sleep 1000"), { timeoutMs: 20_000 });
  let isSick = false;
  sick.then(() => {
    isSick = true;
  });
  check.start(SUBJECT);
  while (!existsSync(pipe) || readFileSync(pipe).length === 0) await new Promise(setImmediate);
  await check.stop();
  assert.equal(groupRuns(Number(readFileSync(pipe, "utf8"))), false);
  // The next incarnation starts anew, and what came of the old check is not its own.
  writeFileSync(pipe, "");
  check.start({ ...SUBJECT, epoch: 8 });
  while (readFileSync(pipe).length === 0) await new Promise(setImmediate);
  await check.stop();
  assert.equal(isSick, false);
});

test("a module that throws says why; it runs in a process of its own, and finds the package", async (t) => {
  const source = `
import { writeFileSync } from "node:fs";
import { NbdClient } from "skink/nbd";
interface Context { readonly device: string; readonly epoch: number; readonly uri: string; readonly pid: number }
export default async (context: Context): Promise<void> => {
  console.log("not this");
  throw new Error([process.ppid, typeof NbdClient.connect, JSON.stringify(context)].join(" "));
};
`;
  const { check, sick } = checkBy(t, module("throws.ts", source), {});
  check.start(SUBJECT);
  const [, parent, client, context] = /: exit code 1: (\d+) (\w+) (.*)$/.exec((await sick)[1]) ?? [];
  assert.notEqual(Number(parent), process.pid);
  assert.equal(client, "function");
  assert.deepEqual(JSON.parse(context as string), CONTEXT);
});

test("a module is well if it returns, though it leaves things open, and late if it doesn't", async (t) => {
  const source = `
import { appendFileSync, readFileSync } from "node:fs";
const runs = ${JSON.stringify(join(folder, "module-runs"))};
export default () => {
  appendFileSync(runs, "x");
  if (readFileSync(runs).length > 1) return new Promise(() => {});
  setInterval(() => {}, 1000);
};
`;
  const { check, sick, said } = checkBy(t, module("hangs.mjs", source), { timeoutMs: 1000 });
  check.start(SUBJECT);
  assert.deepEqual(await sick, [7, "its health check failed: not done within 1000 ms"]);
  assert.equal(said.length, 1);
});

for (const [what, source, says] of [
  ["is none", "export const check = 1;", "has no function as its default export"],
  ["doesn't load", "throw new Error('not today');", "not today"],
] as const) {
  test(`a module that ${what} is no fault of the driver`, async (t) => {
    const { check, error } = checkBy(t, module(`${what.replaceAll(/\W/g, "")}.mjs`, source), {});
    check.start(SUBJECT);
    assert.match(await error, new RegExp(`can't be run: exit code 126: .*${says}`));
  });
}

test("an exception outside the call of a module is a failure", async (t) => {
  const source = "export default () => new Promise(() => setImmediate(() => { throw new Error('from aside'); }));";
  const { check, sick } = checkBy(t, module("aside.mjs", source), {});
  check.start(SUBJECT);
  assert.equal((await sick)[1], "its health check failed: exit code 1: from aside");
});

function command(line: string): HealthConfig["check"] {
  return { type: "command", command: line, folder };
}

function module(name: string, source: string): HealthConfig["check"] {
  writeFileSync(join(folder, name), source);
  return { type: "module", module: pathToFileURL(join(folder, name)).href };
}

/** A check that is in a hurry. `error`: the first one in the log; `said`: that and the warnings. */
function checkBy(t: TestContext, check: HealthConfig["check"], config: Partial<HealthConfig>) {
  const sick = Promise.withResolvers<[number, string]>();
  const error = Promise.withResolvers<string>();
  const said: string[] = [];
  const log = {
    info: () => {},
    warn: (line: string) => void said.push(line),
    error: (line: string) => {
      said.push(line);
      error.resolve(line);
    },
  };
  const health = new HealthCheck(
    { check, everyMs: 5, timeoutMs: 20_000, failures: 1, ...config },
    { log, sick: (epoch, reason) => sick.resolve([epoch, reason]) },
  );
  t.after(() => health.stop());
  return { check: health, sick: sick.promise, error: error.promise, said };
}
