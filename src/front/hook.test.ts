import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { groupRuns } from "../link/process-group.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import { EventLog, type FrontEvent } from "./events.ts";
import { Hook, MAX_WAITING_EVENTS, STOP_TIMEOUT_MS } from "./hook.ts";

const folder = mkdtempSync(join(tmpdir(), "skink-hook-"));
after(() => rmSync(folder, { recursive: true }));

const common = { epoch: 7, driver: "memory", reason: "no sign of life" } as const;
const DECISIONS: DeviceEvent[] = [
  { ...common, type: "fault", fault: "endless-loop" },
  { ...common, type: "restart", delayMs: 0 },
  { ...common, type: "fallback" },
  { ...common, type: "read-only" },
  { ...common, type: "held" },
  { ...common, type: "failed" },
  { ...common, type: "convicted", operation: "write", offset: 0, length: 512, acknowledged: false },
  { ...common, type: "lie", offset: 0, length: 512, cure: "repair" },
  { ...common, type: "upgraded" },
  { ...common, type: "rollback" },
];
const OTHERS: DeviceEvent[] = [
  { ...common, type: "live", recovery: undefined },
  { ...common, type: "reaped" },
  { ...common, type: "suspects", count: 2 },
  { ...common, type: "upgrade" },
  { ...common, type: "stopped", clean: true },
];

test("each decision is told once, in order, and nothing else is", async () => {
  const { hook } = hookThat("echo $SKINK_EVENT >> events");
  const all = [...OTHERS, ...DECISIONS, ...OTHERS];
  for (const event of all) hook.tell(frontEvent(event));
  await hook.stop();
  assert.deepEqual(
    linesOf("events"),
    DECISIONS.map(({ type }) => type),
  );
});

test("a hook knows the device, the event and why, also as JSON", async () => {
  const { hook } = hookThat(
    'echo "$SKINK_DEVICE|$SKINK_EVENT|$SKINK_REASON|$SKINK_EPOCH|$SKINK_DRIVER" > told; echo "$SKINK_EVENT_JSON" >> told',
  );
  const event = frontEvent({ ...common, type: "fault", fault: "endless-loop", reason: "it said: $(rm x) 'y'\n\0" });
  hook.tell(event);
  await hook.stop();
  const [told, json] = linesOf("told");
  assert.equal(told, "disk|fault|it said: $(rm x) 'y' |7|memory");
  assert.deepEqual(JSON.parse(json as string), event);
});

test("runs don't overlap, and what they print is in the log", async () => {
  // A run takes longer than it takes to start one.
  const { hook, infos } = hookThat("echo $SKINK_EPOCH begins; sleep 0.3; echo $SKINK_EPOCH ends");
  hook.tell(frontEvent({ ...common, type: "held", epoch: 1 }));
  await infos(1);
  hook.tell(frontEvent({ ...common, type: "held", epoch: 2 }));
  assert.deepEqual(
    await infos(4),
    [1, 2].flatMap((epoch) => [`disk: hook: ${epoch} begins`, `disk: hook: ${epoch} ends`]),
  );
  await hook.stop();
});

test("a hook that fails is in the log, and the next one runs", async () => {
  const { hook, warnings } = hookThat("echo $SKINK_EPOCH >> failing; exit 4");
  for (const epoch of [1, 2]) hook.tell(frontEvent({ ...common, type: "held", epoch }));
  await hook.stop();
  assert.deepEqual(linesOf("failing"), ["1", "2"]);
  assert.deepEqual(warnings, Array(2).fill("disk: the hook for held failed: exit code 4"));
});

test("of too many events the newest are told, and what is dropped is said once", async () => {
  const { hook, warnings } = hookThat("echo $SKINK_EPOCH >> many");
  for (let epoch = 1; epoch <= MAX_WAITING_EVENTS + 10; epoch++)
    hook.tell(frontEvent({ ...common, type: "held", epoch }));
  await hook.stop();
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] as string, /too slow/);
  const told = linesOf("many").map(Number);
  assert.equal(told.length, MAX_WAITING_EVENTS);
  assert.equal(told.at(-1), MAX_WAITING_EVENTS + 10);
});

test("a hook that hangs is killed at the stop, with all that it has started", async () => {
  const { hook, infos } = hookThat("sleep 1000 & echo $PPID; sleep 1000");
  const line = infos(1);
  hook.tell(frontEvent({ ...common, type: "held" }));
  hook.tell(frontEvent({ ...common, type: "failed" }));
  // The shell is in the group of what it was started by.
  const group = Number((await line)[0]?.split(" ").at(-1));
  assert.equal(groupRuns(group), true);
  const before = performance.now();
  await Promise.all([hook.stop(), hook.stop()]);
  assert.ok(performance.now() - before < STOP_TIMEOUT_MS + 2000);
  assert.equal(groupRuns(group), false);
});

function hookThat(command: string) {
  const warnings: string[] = [];
  const told: string[] = [];
  let wake = (): void => {};
  const log = {
    info: (line: string) => {
      told.push(line);
      wake();
    },
    warn: (line: string) => void warnings.push(line),
    error: (line: string) => void warnings.push(line),
  };
  /** Resolves when so many lines have been printed. */
  const infos = (count: number): Promise<string[]> =>
    new Promise((resolve) => {
      wake = () => told.length >= count && resolve(told);
      wake();
    });
  return { hook: new Hook({ command, folder }, log), warnings, infos };
}

function frontEvent(event: DeviceEvent): FrontEvent {
  return new EventLog().add("disk", event);
}

function linesOf(name: string): string[] {
  return readFileSync(join(folder, name), "utf8").trimEnd().split("\n");
}
