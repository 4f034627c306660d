import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { until } from "../../test/until.ts";
import { hasEnded, readStat } from "../os/process-stat.ts";
import { killFamily } from "./process-family.ts";
import { newMark } from "./process-mark.ts";

const LIMIT = { timeout: 60_000 };
const DEADLINE_MS = 10_000;
/** Half of what a process that hangs is looked at for, POLL_MS apart. */
const SOON_MS = 500;
/** Of some looks one may find the cores busy. */
const LOOKS = 10;
const NEW_WORLD = ["--user", "--map-root-user", "--pid", "--fork"];

test("a process that hangs in its end is waited for once, and for a while", LIMIT, async (t) => {
  const hanging = await start(t);
  if (hanging === undefined) return;
  assert((await lookMs()) > SOON_MS);
  let shortest = Number.POSITIVE_INFINITY;
  for (let look = 0; look < LOOKS; look++) shortest = Math.min(shortest, await lookMs());
  assert(shortest < SOON_MS, `${shortest} ms`);
  assert.notEqual(readStat(hanging.pid), undefined);
});

test("what shows no environment any more is looked at until it has ended", LIMIT, async (t) => {
  const hanging = await start(t);
  if (hanging === undefined) return;
  const looks = lookMs();
  hanging.release();
  await looks;
  const stat = readStat(hanging.pid);
  assert(stat === undefined || hasEnded(stat), `state ${stat?.state}`);
});

async function lookMs(): Promise<number> {
  const since = performance.now();
  assert.equal(await killFamily(undefined, newMark([])), false);
  return performance.now() - since;
}

/**
 * A process that has neither memory nor files any more and can't end, until it is released. The first process of a world of processes
 * ends when all others are reaped, and one that came from outside is reaped outside. Undefined where this user may make no worlds.
 */
async function start(t: TestContext): Promise<{ pid: number; release: () => void } | undefined> {
  if (spawnSync("unshare", [...NEW_WORLD, "true"]).status !== 0) {
    t.skip("no namespaces for this user");
    return undefined;
  }
  const world = await started("unshare", [...NEW_WORLD, "sh", "-c", "echo up; read -r nothing"]);
  const pid = Number(readFileSync(`/proc/${world.pid}/task/${world.pid}/children`, "latin1"));
  const entry = ["--target", `${pid}`, "--user", "--pid", "--preserve-credentials"];
  const guest = await started("nsenter", [...entry, "sh", "-c", "echo up; read -r nothing"]);
  const ends = [once(world, "exit"), once(guest, "exit")];
  const release = (): boolean => guest.kill("SIGCONT");
  t.after(async () => {
    release();
    await Promise.all(ends);
  });
  guest.kill("SIGSTOP");
  // It would reap its child on its way to the stop.
  await until("it to reap no more", DEADLINE_MS, () => readStat(guest.pid as number)?.state === "T" || undefined);
  process.kill(pid, "SIGKILL");
  await until("it to have no memory any more", DEADLINE_MS, () => {
    const stat = readStat(pid);
    return stat?.isEnding === true && stat.environment === "unknown" ? true : undefined;
  });
  return { pid, release };
}

async function started(command: string, args: string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
  await once(child.stdout as NonNullable<typeof child.stdout>, "data");
  return child;
}
