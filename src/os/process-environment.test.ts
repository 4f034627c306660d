import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { until } from "../../test/until.ts";
import { environmentOf } from "./process-environment.ts";
import { type ProcessStat, readStat } from "./process-stat.ts";

const LIMIT = { timeout: 20_000 };
const DEADLINE_MS = 10_000;
const ENTRY = "SKINK_TEST=here";
/** Looks in each turn of the event loop. */
const LOOKS = 100;
const EXECS_SEEN = 100;
const VARIABLES = 3000;

test("a process that begins one program after another is never said to have no environment", LIMIT, async (t) => {
  const again = 'exec /bin/sh -c "$0" "$0"';
  // The kernel counts them one by one; meanwhile there are none.
  const variables = Object.fromEntries(Array.from({ length: VARIABLES }, (_, index) => [`V${index}`, ""]));
  const storm = start(t, "/bin/sh", ["-c", again, again], variables);
  const seen = { whole: 0, untold: 0 };
  while (seen.untold < EXECS_SEEN || seen.whole < EXECS_SEEN) {
    for (let look = 0; look < LOOKS; look++) {
      const environment = lookAt(storm.pid as number);
      assert.notEqual(environment?.length, 0);
      if (environment !== undefined) assert.match(environment, new RegExp(`(^|\0)${ENTRY}\0`));
      seen[environment === undefined ? "untold" : "whole"]++;
    }
    await new Promise(setImmediate);
  }
});

test("a process that was given no environment has none, for good", LIMIT, async (t) => {
  const child = start(t, "/bin/sh", ["-c", "exec env -i sleep 60"]);
  await until("it to be without", DEADLINE_MS, () => (lookAt(child.pid as number) === "" ? true : undefined));
});

test("a process that has ended has none, whoever has to reap it", LIMIT, async (t) => {
  // Its parent is suspended, and reaps nobody.
  const parent = start(t, "/bin/sh", ["-c", "sleep 60 & echo $!; read -r nothing"]);
  const pid = Number((await once(parent.stdout as NonNullable<typeof parent.stdout>, "data"))[0]);
  parent.kill("SIGSTOP");
  await until("the suspension", DEADLINE_MS, () => (readStat(parent.pid as number)?.state === "T" ? true : undefined));
  process.kill(pid, "SIGKILL");
  await until("its end", DEADLINE_MS, () => (readStat(pid)?.state === "Z" ? true : undefined));
  assert.equal(lookAt(pid), "");
});

test("a thread of the kernel's has none", LIMIT, (t) => {
  const stats = readdirSync("/proc").map((name) => [name, /^\d+$/.test(name) ? readStat(name) : undefined] as const);
  const kernels = stats.filter(([, stat]) => stat?.isKernels === true);
  if (kernels.length === 0) t.skip("a container shows none of them");
  for (const [pid, stat] of kernels) assert.equal(environmentOf(pid, stat as ProcessStat)?.length, 0);
});

test("the environment is that of the threads that are left when the first one has ended", LIMIT, async (t) => {
  const libc = JSON.stringify(new URL("libc.ts", import.meta.url).href);
  const script = `
    new worker_threads.Worker("setInterval(() => {}, 1e6)", { eval: true }).once("online", async () => {
      const { libc } = await import(${libc});
      libc.func("long syscall(long number, long status)")(process.arch === "x64" ? 60 : 93, 0);
    });`;
  const child = start(t, process.execPath, ["--input-type=module", "--eval", script]);
  await until("the end of the first thread", DEADLINE_MS, () =>
    readStat(child.pid as number)?.state === "Z" ? true : undefined,
  );
  assert.match(lookAt(child.pid as number) ?? "", new RegExp(ENTRY));
});

test("an environment is whole, however long it is", LIMIT, async (t) => {
  const variables: Record<string, string> = {};
  for (let count = 0; count < 12; count++) variables[`LONG_${count}`] = "x".repeat(100_000);
  const child = start(t, "/bin/sh", ["-c", "read -r nothing"], variables);
  const environment = await until("it to be there", DEADLINE_MS, () => lookAt(child.pid as number));
  assert(environment.length > 1_200_000, `${environment.length} bytes`);
  for (const name of ["LONG_0", "LONG_11"]) assert.match(environment, new RegExp(`(^|\0)${name}=x{100000}\0`));
});

function lookAt(pid: number): string | undefined {
  return environmentOf(`${pid}`, readStat(pid) as ProcessStat)?.toString("latin1");
}

/** A process with ENTRY in its environment, that is killed at the end. */
function start(t: TestContext, command: string, args: string[], variables: Record<string, string> = {}): ChildProcess {
  const env = { ...variables, ...process.env, SKINK_TEST: "here" };
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "ignore"], detached: true });
  t.after(async () => {
    const over = once(child, "exit");
    process.kill(-(child.pid as number), "SIGKILL");
    await over;
  });
  return child;
}
