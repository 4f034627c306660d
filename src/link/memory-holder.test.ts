import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readStat } from "../os/process-stat.ts";
import { MemoryHolder } from "./memory-holder.ts";
import { ended, isRunning } from "./testing/running.ts";

const HOLDER = new URL("../os/memory-holder.ts", import.meta.url).href;
const MMAP = new URL("../os/mmap.ts", import.meta.url).href;
const LIBC = new URL("../os/libc.ts", import.meta.url).href;
const skip = process.arch === "x64" ? false : "there are holders on x64 only";

function hostCode(parent: string, before = ""): string {
  return `
    import { holdMemory } from ${JSON.stringify(HOLDER)};
    ${before}
    console.log("holder", holdMemory(${parent}));
    setInterval(() => {}, 1000);`;
}

/** A process that has its memory held, as a driver host does. */
async function host(before = ""): Promise<{ child: ChildProcess; pid: number; holder: number }> {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", hostCode(`${process.pid}`, before)], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line")) as [string];
  return { child, pid: child.pid as number, holder: Number(line.split(" ")[1]) };
}

async function kill({ child }: { child: ChildProcess }): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

test("the holder of a dead host's memory is a child of the front, without descriptors, and goes when it is released", {
  skip,
}, async () => {
  const made = await host();
  while (readdirSync(`/proc/${made.holder}/fd`).length > 0) await delay(1);
  assert.equal(readStat(made.holder)?.parent, process.pid);
  await kill(made);
  assert(isRunning(made.holder));
  const holder = MemoryHolder.named(made.holder, made.pid);
  assert(holder !== undefined);
  assert.equal(holder.isInTheWay, false);
  await holder.release();
  assert.equal(readStat(made.holder), undefined);
});

test("the holder of a host that died before it could name it is found", { skip }, async () => {
  const made = await host();
  await kill(made);
  await MemoryHolder.found(made.pid)?.release();
  assert.equal(readStat(made.holder), undefined);
});

test("what is no holder of that host is not taken for one", { skip }, async () => {
  const made = await host();
  for (const pid of [process.pid, made.pid, 1]) assert.equal(MemoryHolder.named(pid, made.pid), undefined);
  assert.equal(MemoryHolder.named(made.holder, process.pid), undefined);
  await kill(made);
  await MemoryHolder.named(made.holder, made.pid)?.release();
});

test("P4: a host's asynchronous I/O may outlive it with its memory: that shows", { skip }, async () => {
  const made = await host(`
    import { libc } from ${JSON.stringify(LIBC)};
    const IO_SETUP = 206;
    libc.func("long syscall(long number, long events, _Inout_ uint64_t *context)")(IO_SETUP, 1, [0n]);`);
  await kill(made);
  const holder = MemoryHolder.named(made.holder, made.pid);
  assert.equal(holder?.isInTheWay, true);
  await holder?.release();
});

test("P4: a file that a host has mapped stays open with its locks as long as its memory: that shows", {
  skip,
}, async () => {
  const made = await host(`
    import { openSync } from "node:fs";
    import { mapShared } from ${JSON.stringify(MMAP)};
    globalThis.mapped = mapShared(openSync(${JSON.stringify(fileURLToPath(import.meta.url))}, "r"), 4096, "read");`);
  await kill(made);
  const holder = MemoryHolder.named(made.holder, made.pid);
  assert.equal(holder?.isInTheWay, true);
  await holder?.release();
});

test("a holder goes with the front that should have released it", { skip }, async () => {
  const code = `
    import { spawn } from "node:child_process";
    const host = spawn(process.execPath, ["--input-type=module", "--eval", process.env.HOST], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    console.log("host", host.pid);
    setInterval(() => {}, 1000);`;
  const front = spawn(process.execPath, ["--input-type=module", "--eval", code], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, HOST: hostCode("process.ppid") },
  });
  const pids = new Map<string, number>();
  for await (const line of createInterface({ input: front.stdout })) {
    const [name = "", pid] = line.split(" ");
    pids.set(name, Number(pid));
    if (pids.size === 2) break;
  }
  front.kill("SIGKILL");
  await once(front, "exit");
  process.kill(pids.get("host") as number, "SIGKILL");
  await ended(pids.get("holder") as number);
});
