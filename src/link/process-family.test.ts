import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { hasEnded, readStat } from "../os/process-stat.ts";
import { familyMark, killFamily, MARK, newMark } from "./process-family.ts";

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

test("what has left the group and wiped its environment, but not left the session, is killed", LIMIT, async () => {
  const mark = newMark([]);
  const leader = start(mark, "exec bash -c 'set -m; env -i sleep 60 & echo $!'");
  const [pid = 0] = await pidsFrom(leader, 1);
  await over(leader);
  assert.equal(runs(pid), true);
  assert.equal(readStat(pid)?.group, pid);
  assert.equal(await killFamily(leader.pid as number, mark), true);
  assert.equal(runs(pid), false);
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
  const stranger = await started(randomUUID());
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
    const stray = await started(marks);
    assert.equal(await killFamily(2 ** 22 - 1, mark), true);
    await over(stray);
    assert.equal(stray.signalCode, "SIGKILL");
  }
});

test(
  "a process that was started with other variables around the mark is found, one that only names it is not",
  LIMIT,
  async () => {
    const mark = newMark(["0123456789abcdef"]);
    const found = await started(mark, { AAA: "x".repeat(100_000), ZZZ: "" });
    const names = await started(newMark([]), { AAA: `${MARK}=${mark}`, [`NOT_${MARK}`]: mark });
    assert.equal(await killFamily(2 ** 22 - 1, mark), true);
    await over(found);
    assert.equal(names.exitCode ?? names.signalCode, null);
    names.kill("SIGKILL");
    await over(names);
  },
);

test("one process that is seen to otherwise is left alone, and not waited for", LIMIT, async () => {
  const mark = newMark([]);
  const other = await started(mark);
  assert.equal(await killFamily(2 ** 22 - 1, mark, other.pid), false);
  assert.equal(other.exitCode ?? other.signalCode, null);
  other.kill("SIGKILL");
  await over(other);
});

function start(mark: string, script: string, variables: Record<string, string> = {}): ChildProcess {
  const env = { ...variables, ...process.env, [MARK]: mark };
  return spawn("/bin/sh", ["-c", script], { env, detached: true, stdio: ["pipe", "pipe", "ignore"] });
}

/** Resolves when it runs: while a process begins a program its environment can't be seen. It ends with its input. */
async function started(mark: string, variables?: Record<string, string>): Promise<ChildProcess> {
  const child = start(mark, "echo; read line", variables);
  await once(child.stdout as Readable, "data");
  return child;
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
