import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { killGroup } from "../link/process-group.ts";
import { familyMark, MARK, newMark } from "../link/process-mark.ts";
import { isRunning, type ProcessId, processId } from "../os/process-id.ts";
import { type FenceOrder, fence } from "./fence.ts";

const LIMIT = { timeout: 30_000 };
/** A process that is none: numbers end below. */
const NO_PID = 2 ** 22 + 1;
const [STORE, OTHER] = ["0123456789abcdef", "fedcba9876543210"];

test(
  "what a dead front has left on the store is killed, whatever else is in its mark, a suspended one too",
  LIMIT,
  async (t) => {
    const orphans = await Promise.all([
      started(t, orphaned([STORE])),
      started(t, orphaned([OTHER, STORE])),
      started(t, `outer/${orphaned([STORE])}/${newMark([OTHER])}`),
    ]);
    orphans[0]?.kill("SIGSTOP");
    const ends = orphans.map((orphan) => once(orphan, "exit"));
    await fence(order({}));
    for (const end of ends) assert.equal((await end)[1], "SIGKILL");
  },
);

test(
  "nobody else is killed: another store's, a living front's, one of another world, one whose mark is alike, or inherited",
  LIMIT,
  async (t) => {
    const inherited = orphaned([STORE]);
    process.env[MARK] = inherited;
    t.after(() => delete process.env[MARK]);
    const others = await Promise.all([
      started(t, orphaned([OTHER])),
      started(t, newMark([STORE])),
      started(t, orphaned([STORE]).replace(/\.\d+-/, ".1-")),
      started(t, orphaned([STORE.slice(1)])),
      started(t, `${STORE} ${orphaned([OTHER])}`),
      started(t, familyMark(newMark([OTHER]))),
      started(t, orphaned([STORE]), "NOT_A_MARK"),
    ]);
    await fence(order({}));
    for (const other of others) assert.equal(other.exitCode ?? other.signalCode, null);
  },
);

test(
  "a driver that does not end is said to be waited for, then it is an error, and it is not killed",
  LIMIT,
  async (t) => {
    const driver = await started(t, newMark([STORE]));
    const said: string[] = [];
    const what = `process ${driver.pid} (state S) of an earlier front's driver`;
    await assert.rejects(fence(order({ drivers: [idOf(driver)], timeoutMs: 1200, say: (line) => said.push(line) })), {
      code: "not-fenced",
      message: `Cannot serve disk: ${what} still has its store 1200 ms after SIGKILL, its end was wanted`,
    });
    assert.deepEqual(said, [`waits for the end of ${what}`]);
    assert.equal(driver.signalCode, null);
  },
);

test("a driver that has ended, or whose number is another process's by now, is not waited for", LIMIT, async (t) => {
  const driver = await started(t, newMark([STORE]));
  const drivers = [
    { pid: NO_PID, started: 1 },
    { ...idOf(driver), started: 1 },
  ];
  await fence(order({ drivers, timeoutMs: 0 }));
});

test(
  "what is left in a dead driver's session without a mark is killed, unless the number is another one's",
  LIMIT,
  async (t) => {
    const session = async (): Promise<{
      driver: ProcessId;
      child: number;
      leader: Awaited<ReturnType<typeof started>>;
    }> => {
      const leader = await started(
        t,
        newMark([OTHER]),
        MARK,
        "exec bash -c 'set -m; env -i sleep 60 & echo $!; read -r nothing'",
      );
      const child = Number(leader.said);
      t.after(() => killGroup(child));
      return { driver: idOf(leader), child, leader };
    };
    const [gone, reused] = [await session(), await session()];
    gone.leader.kill("SIGKILL");
    await once(gone.leader, "exit");
    await fence(order({ drivers: [gone.driver, { ...reused.driver, started: 1 }] }));
    assert.equal(isRunning(processId(gone.child) ?? { pid: NO_PID, started: 1 }), false);
    assert.equal(isRunning(processId(reused.child) ?? { pid: NO_PID, started: 1 }), true);
  },
);

test("a process that its parent has not reaped is not waited for", LIMIT, async (t) => {
  // The shell waits for its input, and not for its child.
  const parent = await started(t, orphaned([OTHER]), MARK, "sleep 60 & echo $!; read -r nothing; wait");
  const child = processId(Number(parent.said)) as ProcessId;
  process.kill(child.pid, "SIGKILL");
  await fence(order({ drivers: [child], timeoutMs: 5000 }));
  assert.equal(parent.exitCode ?? parent.signalCode, null);
});

test("a fence that is given up rejects", LIMIT, async (t) => {
  const driver = await started(t, newMark([STORE]));
  const signal = AbortSignal.timeout(50);
  await assert.rejects(fence(order({ drivers: [idOf(driver)], timeoutMs: 60_000, signal })));
});

function order(more: Partial<FenceOrder>): FenceOrder {
  const rest = { drivers: [], timeoutMs: 10_000, say: () => {}, signal: new AbortController().signal };
  return { device: "disk", stores: [STORE], ...rest, ...more };
}

/** A mark as this process makes them, if it were dead. */
function orphaned(stores: readonly string[]): string {
  return newMark(stores).replace(/-\d+-\d+\./, `-${NO_PID}-1.`);
}

function idOf({ pid }: ChildProcess): ProcessId {
  return processId(pid as number) as ProcessId;
}

/** A process that does nothing, with the mark in its environment, and what it has said. */
async function started(
  t: TestContext,
  mark: string,
  name = MARK,
  script = "echo up; read -r nothing",
): Promise<ChildProcess & { said: string }> {
  const { [MARK]: _own, ...env } = process.env;
  const stdio = ["pipe", "pipe", "ignore"] as const;
  const child = spawn("/bin/sh", ["-c", script], { env: { ...env, [name]: mark }, stdio: [...stdio], detached: true });
  t.after(() => killGroup(child.pid as number));
  const [said] = await once(child.stdout as NonNullable<typeof child.stdout>, "data");
  return Object.assign(child, { said: String(said) });
}
