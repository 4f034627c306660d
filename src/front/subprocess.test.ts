import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Subprocess } from "./subprocess.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "skink-subprocess-")));
after(() => {
  assert.deepEqual(running(), []);
  rmSync(folder, { recursive: true });
});

test("a program is told what it has to know, runs in its folder, and is heard", async () => {
  const lines: string[] = [];
  const run = shell('echo wrong >&2; echo "$WORD $PWD"; exit 3', { output: (line) => lines.push(line) });
  assert.deepEqual(await run.ended, { type: "exit", code: 3, lastLine: "wrong" });
  assert.deepEqual(lines.sort(), [`word ${folder}`, "wrong"]);
});

test("one that takes too long is killed, and so is what it has started", async () => {
  const run = shell("sleep 1000 & echo started; sleep 1000", { timeoutMs: 200 });
  assert.deepEqual(await run.ended, { type: "timeout", lastLine: "started" });
  assert.deepEqual(running(), []);
});

test("what is left in the background goes with it, and doesn't keep it", async () => {
  assert.deepEqual(await shell("sleep 1000 & exit 0").ended, { type: "exit", code: 0, lastLine: "" });
  assert.deepEqual(running(), []);
});

test("one that is stopped is gone, though it minds no signal", async () => {
  const started = Promise.withResolvers<string>();
  const run = shell("trap '' TERM INT HUP; echo started; while :; do sleep 1000; done", { output: started.resolve });
  await started.promise;
  await run.stop();
  assert.deepEqual(await run.ended, { type: "signal", signal: "SIGKILL", lastLine: "started" });
  assert.deepEqual(running(), []);
  await run.stop();
});

test("what can't be run says so", async () => {
  assert.equal((await shell("", { command: ["/nowhere/program"] }).ended).type, "exit");
  const started = await shell("", { command: ["true\0"] }).ended;
  assert.equal(started.type, "not started");
});

test("a flood of output is cut, and its last line is known", async () => {
  let lines = 0;
  const output = (): void => {
    lines++;
  };
  const end = await shell("seq 1 100000; echo the end", { output }).ended;
  assert.deepEqual(end, { type: "exit", code: 0, lastLine: "the end" });
  assert.ok(lines < 1000, `${lines} lines`);
});

test("it doesn't outlive the front for long, however that ends", async () => {
  const module = JSON.stringify(new URL("./subprocess.ts", import.meta.url).href);
  const order = { command: ["/bin/sh", "-c", "echo started; exec sleep 1000"], folder, env: {}, timeoutMs: 500 };
  const script = `
import { Subprocess } from ${module};
new Subprocess({ ...${JSON.stringify(order)}, output: console.log });
`;
  const front = join(folder, "front.ts");
  writeFileSync(front, script);
  const child = spawn(process.execPath, [front], { stdio: ["ignore", "pipe", "inherit"] });
  await once(createInterface(child.stdout), "line");
  assert.notDeepEqual(running(), []);
  child.kill("SIGKILL");
  await once(child, "exit");
  const deadline = performance.now() + 10_000;
  while (running().length > 0) {
    assert.ok(performance.now() < deadline, "it is still there");
    await delay(20);
  }
});

function shell(line: string, order: Partial<ConstructorParameters<typeof Subprocess>[0]> = {}): Subprocess {
  const usual = {
    command: ["/bin/sh", "-c", line],
    folder,
    env: { WORD: "word" },
    timeoutMs: 20_000,
    output: () => {},
  };
  return new Subprocess({ ...usual, ...order });
}

/** The programs that work in the folder of this test. */
function running(): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === folder;
    } catch {
      return false;
    }
  });
}
