import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { isGone, isRunning, type ProcessId, processId, stateOf } from "./process-id.ts";

const LIMIT = { timeout: 10_000 };

test("a process runs until it has ended, and its number alone does not make another one it", LIMIT, async () => {
  const child = spawn("sleep", ["60"]);
  const id = processId(child.pid as number) as ProcessId;
  while (stateOf(id) !== "S") await new Promise(setImmediate);
  assert.deepEqual([isRunning(id), isGone(id)], [true, false]);
  const other = { ...id, started: id.started - 1 };
  assert.deepEqual([isRunning(other), isGone(other)], [false, true]);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual([isRunning(id), isGone(id), processId(id.pid)], [false, true, undefined]);
});

test("a suspended process runs, and one that nobody has reaped is gone", LIMIT, async () => {
  // The shell suspends its first child, ends its second one, and reaps neither of them.
  const script =
    "sleep 60 & a=$!; kill -STOP $a; echo $a; sleep 60 & kill -KILL $!; echo $!; read -r nothing; kill -KILL $a";
  const parent = spawn("/bin/sh", ["-c", script], { stdio: ["pipe", "pipe", "ignore"] });
  let said = "";
  while (said.split("\n").length < 3) said += String((await once(parent.stdout, "data"))[0]);
  const [suspended, ended] = said
    .trim()
    .split("\n")
    .map((pid) => processId(Number(pid)));
  assert.ok(suspended !== undefined && ended !== undefined);
  while (stateOf(suspended) !== "T" || stateOf(ended) !== "Z") await new Promise(setImmediate);
  assert.deepEqual([isRunning(suspended), isGone(suspended)], [true, false]);
  assert.deepEqual([isRunning(ended), isGone(ended)], [false, true]);
  parent.stdin.end();
  await once(parent, "exit");
});
