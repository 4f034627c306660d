import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { hasEnded, readStat } from "../os/process-stat.ts";
import { killFamily, killOrphans } from "./process-family.ts";
import { familyMark, MARK, newMark } from "./process-mark.ts";

const LIMIT = { timeout: 10_000 };
/** A process that is none: numbers end below. */
const NO_PID = 2 ** 22 + 1;
/** A look meets an exec in one of ten rounds, or in one of a hundred where the cores are busy: src/os/process-environment.test.ts looks harder. */
const ROUNDS = 25;
/** One process that begins a program again and again. */
const EXEC_FOR_EVER = 'again=\'exec /bin/sh -c "$0" "$0"\'; exec /bin/sh -c "$again" "$again"';

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

test("who was started before is none of them, and the others are found", LIMIT, async () => {
  const mark = newMark([]);
  const older = idle(mark);
  // Their clock has steps of 10 ms.
  await delay(20);
  const leader = start(mark, "sleep 60 & echo $!; setsid sleep 60 & echo $!; (setsid sleep 60 & echo $!)");
  const since = readStat(leader.pid as number)?.startTicks;
  const pids = await pidsFrom(leader, 3);
  await over(leader);
  assert.equal(await killFamily(leader.pid, mark, { since }), true);
  for (const pid of pids) assert.equal(runs(pid), false);
  assert.equal(older.exitCode ?? older.signalCode, null);
  older.kill("SIGKILL");
  await over(older);
});

test("a daemon that goes on forking as it is looked for is found", LIMIT, async () => {
  const mark = randomUUID();
  // Each of a hundred lives for a moment, and its child is in a session of its own.
  const chain = start(mark, `n=0; hop() { n=$((n + 1)); [ $n -gt 100 ] || (hop) & }; hop; echo up`);
  const since = readStat(chain.pid as number)?.startTicks;
  await over(chain);
  await killFamily(chain.pid as number, mark, { since });
  assert.equal(await killFamily(chain.pid as number, mark), false);
});

test("a stray in the midst of an exec is found", LIMIT, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const mark = newMark([]);
    const stray = start(mark, EXEC_FOR_EVER);
    try {
      assert.equal(await killFamily(undefined, mark), true, `round ${round}`);
      assert.equal(runs(stray.pid as number), false);
    } finally {
      stray.kill("SIGKILL");
    }
  }
});

test("an orphan in the midst of an exec is found", LIMIT, async () => {
  const store = "0123456789abcdef";
  for (let round = 0; round < ROUNDS; round++) {
    const orphan = start(newMark([store]).replace(/-\d+-\d+\./, `-${NO_PID}-1.`), EXEC_FOR_EVER);
    try {
      const found = await killOrphans([store], []);
      assert.deepEqual(
        found.map(({ pid }) => pid),
        [orphan.pid],
        `round ${round}`,
      );
    } finally {
      orphan.kill("SIGKILL");
    }
    await over(orphan);
  }
});

test("nobody else's processes are touched", LIMIT, async () => {
  const stranger = idle(randomUUID());
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
    const stray = idle(marks);
    assert.equal(await killFamily(undefined, mark), true);
    await over(stray);
    assert.equal(stray.signalCode, "SIGKILL");
  }
});

test(
  "a process that was started with other variables around the mark is found, one that only names it is not",
  LIMIT,
  async () => {
    const mark = newMark(["0123456789abcdef"]);
    const found = idle(mark, { AAA: "x".repeat(100_000), ZZZ: "" });
    const names = idle(newMark([]), { AAA: `${MARK}=${mark}`, [`NOT_${MARK}`]: mark });
    assert.equal(await killFamily(undefined, mark), true);
    await over(found);
    assert.equal(names.exitCode ?? names.signalCode, null);
    names.kill("SIGKILL");
    await over(names);
  },
);

test("one process that is seen to otherwise is left alone, and not waited for", LIMIT, async () => {
  const mark = newMark([]);
  const other = idle(mark);
  assert.equal(await killFamily(undefined, mark, { except: other.pid }), false);
  assert.equal(other.exitCode ?? other.signalCode, null);
  other.kill("SIGKILL");
  await over(other);
});

function start(mark: string, script: string, variables: Record<string, string> = {}): ChildProcess {
  const env = { ...variables, ...process.env, [MARK]: mark };
  return spawn("/bin/sh", ["-c", script], { env, detached: true, stdio: ["pipe", "pipe", "ignore"] });
}

/** One that does nothing, and ends with its input. */
function idle(mark: string, variables?: Record<string, string>): ChildProcess {
  return start(mark, "read -r nothing", variables);
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
