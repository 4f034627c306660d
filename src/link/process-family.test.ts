import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { hasEnded, readStat } from "../os/process-stat.ts";
import { familyMark, killFamily, MARK } from "./process-family.ts";

const LIMIT = { timeout: 10_000 };

test("the group of a dead leader is killed, and what has left it with the mark", LIMIT, async () => {
  const mark = randomUUID();
  // One in the group; one in a session of its own; one that has also lost its parent.
  const leader = start(mark, "sleep 60 & echo $!; setsid sleep 60 & echo $!; (setsid sleep 60 & echo $!)");
  const pids = await pidsFrom(leader, 3);
  await over(leader);
  for (const pid of pids) assert.equal(runs(pid), true);
  assert.equal(await killFamily(leader.pid as number, mark), true);
  for (const pid of pids) assert.equal(runs(pid), false);
});

test("a daemon that goes on forking as it is looked for is found", LIMIT, async () => {
  const mark = randomUUID();
  // Each of a hundred lives for a moment, and its child is in a session of its own.
  const chain = start(mark, `n=0; hop() { n=$((n + 1)); [ $n -gt 100 ] || (hop) & }; hop; echo up`);
  await over(chain);
  await killFamily(chain.pid as number, mark);
  assert.equal(await killFamily(chain.pid as number, mark), false);
});

test("nobody else's processes are touched", LIMIT, async () => {
  const stranger = start(randomUUID(), "exec sleep 60");
  const leader = start(randomUUID(), "true");
  await over(leader);
  assert.equal(await killFamily(leader.pid as number, randomUUID()), false);
  assert.equal(stranger.exitCode ?? stranger.signalCode, null);
  stranger.kill("SIGKILL");
  await over(stranger);
});

test("a family inside another one goes with either", LIMIT, async () => {
  const [outer, inner] = [randomUUID(), randomUUID()];
  const before = process.env[MARK];
  process.env[MARK] = outer;
  const marks = familyMark(inner);
  if (before === undefined) delete process.env[MARK];
  else process.env[MARK] = before;
  for (const mark of [outer, inner]) {
    const stray = start(marks, "exec sleep 60");
    assert.equal(await killFamily(2 ** 22 - 1, mark), true);
    await over(stray);
    assert.equal(stray.signalCode, "SIGKILL");
  }
});

function start(mark: string, script: string): ChildProcess {
  const env = { ...process.env, [MARK]: mark };
  return spawn("/bin/sh", ["-c", script], { env, detached: true, stdio: ["pipe", "pipe", "ignore"] });
}

async function over(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function pidsFrom(child: ChildProcess, count: number): Promise<number[]> {
  const pids: number[] = [];
  if (child.stdout === null) return pids;
  for await (const line of createInterface(child.stdout)) if (pids.push(Number(line)) === count) break;
  return pids;
}

function runs(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && !hasEnded(stat);
}
