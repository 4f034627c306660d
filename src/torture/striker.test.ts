import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { killGroup } from "../link/process-group.ts";
import { readStat } from "../os/process-stat.ts";
import type { ProcessFault } from "./plan.ts";
import { Striker } from "./striker.ts";
import { waitFor } from "./wait.ts";

const LIMIT = { timeout: 30_000 };
const KILL: ProcessFault = {
  tier: "process",
  kind: "kill",
  persistence: "transient",
  afterMs: 1,
  strikes: 1,
  lastsMs: 0,
};

/** Processes that do nothing, one at a time. */
class Patients {
  readonly #callbacks: ((pid: number) => void)[] = [];
  readonly neighbours: { readonly uri: string; victim(): number | undefined }[] = [];
  child: ChildProcess | undefined;

  next(): ChildProcess {
    const child = spawn("sleep", ["60"], { detached: true });
    this.child = child;
    child.once("exit", () => {
      if (this.child === child) this.child = undefined;
    });
    for (const callback of this.#callbacks) callback(child.pid as number);
    return child;
  }

  victim(): number | undefined {
    return this.child?.pid;
  }

  onVictim(callback: (pid: number) => void): void {
    this.#callbacks.push(callback);
    if (this.child !== undefined) callback(this.child.pid as number);
  }
}

function patients(t: TestContext, fault: Partial<ProcessFault>): { patients: Patients; striker: Striker } {
  const made = new Patients();
  const striker = new Striker({ ...KILL, ...fault }, made, new SeededRandom(1));
  t.after(() => {
    striker.end();
    made.child?.kill("SIGKILL");
  });
  return { patients: made, striker };
}

async function isIn(state: string, { pid }: ChildProcess): Promise<boolean> {
  return (await waitFor(10_000, () => readStat(pid as number)?.state === state || undefined)) === true;
}

test("a row of kills strikes one process after another, and then no more", LIMIT, async (t) => {
  const { patients: them, striker } = patients(t, { strikes: 3 });
  let child = them.next();
  striker.begin();
  assert.equal(striker.isOver, false);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await once(child, "exit"), [null, "SIGKILL"]);
    child = them.next();
  }
  assert.equal(striker.isOver, true);
  assert.equal(striker.strikes.length, 3);
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [null, "SIGTERM"]);
});

test("a strike that finds nobody is for the next process", LIMIT, async (t) => {
  const { patients: them, striker } = patients(t, {});
  striker.begin();
  await waitFor(50, () => undefined);
  assert.deepEqual(striker.strikes, []);
  assert.deepEqual(await once(them.next(), "exit"), [null, "SIGKILL"]);
});

test("kill-all kills the drivers of all devices at once, each with what it has started", LIMIT, async (t) => {
  const { patients: them, striker } = patients(t, { kind: "kill-all", strikes: 2 });
  const ends: Promise<unknown>[] = [];
  const family = (): ChildProcess => {
    const parent = spawn("sh", ["-c", "sleep 60 & wait"], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    t.after(() => killGroup(parent.pid as number));
    // The pipe is closed when the last one of them has gone.
    ends.push(once(parent, "exit"), once(parent, "close"));
    return parent;
  };
  const [one, other] = [family(), family()];
  for (const { pid } of [one, other]) them.neighbours.push({ uri: "", victim: () => pid });
  // Not there at the moment.
  them.neighbours.push({ uri: "", victim: () => undefined });
  them.child = family();
  striker.begin();
  await Promise.all(ends);
  assert.deepEqual([striker.strikes.length, striker.killed, striker.isOver], [1, 3, false]);
  // Nobody has noticed yet that the neighbours are gone.
  const last = them.next();
  await once(last, "exit");
  assert.deepEqual([striker.strikes.length, striker.killed, striker.isOver], [2, 4, true]);
});

test("a stop ends by itself", LIMIT, async (t) => {
  const { patients: them, striker } = patients(t, { kind: "stop", lastsMs: 300 });
  const child = them.next();
  striker.begin();
  assert.ok(await isIn("T", child));
  assert.ok(await isIn("S", child));
  assert.equal(striker.isOver, true);
});

test("whoever is stopped goes on when there are to be no more strikes", LIMIT, async (t) => {
  const { patients: them, striker } = patients(t, { kind: "stop", lastsMs: 60_000 });
  const child = them.next();
  striker.begin();
  assert.ok(await isIn("T", child));
  striker.end();
  assert.ok(await isIn("S", child));
});

test("a persistent kill strikes each process, until its end", LIMIT, async (t) => {
  const { patients: them, striker } = patients(t, { persistence: "persistent" });
  let child = them.next();
  striker.begin();
  for (let i = 0; i < 4; i++) {
    assert.deepEqual(await once(child, "exit"), [null, "SIGKILL"]);
    child = them.next();
  }
  striker.end();
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [null, "SIGTERM"]);
});
