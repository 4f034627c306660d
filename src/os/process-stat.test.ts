import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { until } from "../../test/until.ts";
import { hasEnded, oomKills, readStat, readUsage, readVitals } from "./process-stat.ts";

const LIMIT = { timeout: 20_000 };
const DEADLINE_MS = 10_000;
const IDLE = "setInterval(() => {}, 1e6);";
const MIB = 1 << 20;

test("CPU time is that of the first thread, or of all of them", LIMIT, () =>
  withNode('new worker_threads.Worker("for (;;);", { eval: true });', async (pid) => {
    const before = vitals(pid);
    await until("300 ms of CPU time", DEADLINE_MS, () => (whole(pid) > 300 ? true : undefined));
    assert(vitals(pid).cpuMs - before.cpuMs < 100, "the first thread has nothing to do");
  }),
);

test("a process that spins has CPU time, one that sleeps none", LIMIT, () =>
  withNode("process.stdin.once('data', () => { for (;;); });", async (pid, child) => {
    const resting = vitals(pid).cpuMs;
    child.stdin?.write("spin");
    await until("200 ms of CPU time", DEADLINE_MS, () => (vitals(pid).cpuMs > resting + 200 ? true : undefined));
    assert.equal(vitals(pid).suspended, false);
  }),
);

test("CPU time of children counts once they have been waited for", LIMIT, () =>
  withShell(
    "i=0; (while [ $((i += 1)) -lt 200000 ]; do :; done) & echo $$; wait; exec sleep 60",
    1,
    async ([pid = 0]) => {
      await until("it to wait", DEADLINE_MS, () => ((readStat(pid)?.childrenCpuMs ?? 0) > 50 ? true : undefined));
      assert((readStat(pid)?.cpuMs ?? 0) < 50, "its own is not theirs");
    },
  ),
);

test("a process that is stopped by a signal is suspended until it is continued", LIMIT, () =>
  withNode(IDLE, async (pid) => {
    for (const [signal, suspended] of [
      ["SIGSTOP", true],
      ["SIGCONT", false],
    ] as const) {
      process.kill(pid, signal);
      await until(signal, DEADLINE_MS, () => (vitals(pid).suspended === suspended ? true : undefined));
    }
  }),
);

test("a process that shares its core is starved for about as long as the others run", LIMIT, () =>
  withShell(
    `core=$1; for i in 1 2; do taskset -c "$core" sh -c 'echo $$; while :; do :; done' & done; wait`,
    2,
    async (pids) => {
      await until("200 ms each", DEADLINE_MS, () =>
        pids.every((pid) => vitals(pid).cpuMs > 200 && vitals(pid).starvedMs > 150) ? true : undefined,
      );
    },
  ),
);

test("a process that waits uninterruptibly is known to", LIMIT, () =>
  // Who forks by vfork waits so until the child has gone.
  withNode(
    `const { libc } = await import(${JSON.stringify(new URL("libc.ts", import.meta.url).href)});
     setImmediate(() => { libc.func("int vfork()")(); libc.func("int pause()")(); });`,
    async (pid) => {
      await until("the wait", DEADLINE_MS, () => (vitals(pid).inKernel ? true : undefined));
      assert.equal(vitals(pid).suspended, false);
    },
  ),
);

test("a command's name is taken for nothing else", LIMIT, () =>
  withShell("printf '%s' ') Z 1) T 2 (3' > /proc/$$/comm; echo $$; read -r nothing", 1, async ([pid = 0]) => {
    assert.match(readFileSync(`/proc/${pid}/stat`, "utf8"), /\(\) Z 1\) T 2 \(3\)/);
    const stat = readStat(pid);
    assert.equal(stat?.group, pid);
    assert(stat !== undefined && !hasEnded(stat));
    assert.equal(vitals(pid).suspended, false);
  }),
);

test("resident is what a process has made for itself, not what it shares", LIMIT, async () => {
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const script = `
    const { createMemfd } = await import(${url("memfd.ts")});
    const { mapShared } = await import(${url("mmap.ts")});
    const shared = mapShared(createMemfd("test", ${64 * MIB}), ${64 * MIB}, "write");
    new Uint8Array(shared.buffer).fill(1);
    process.stdin.once("data", () => { globalThis.own = Buffer.alloc(${64 * MIB}, 1); process.stdout.write("done"); });`;
  await withNode(script, async (pid, child) => {
    const before = usage(pid).residentBytes;
    assert(before < 64 * MIB, `${before} bytes`);
    child.stdin?.write("more");
    await once(child.stdout as NonNullable<typeof child.stdout>, "data");
    const grown = usage(pid).residentBytes - before;
    assert(grown > 60 * MIB && grown < 80 * MIB, `${grown} bytes`);
  });
});

test("open files are counted", LIMIT, () =>
  withNode(`for (let i = 0; i < 100; i++) fs.openSync("/dev/null"); ${IDLE}`, async (pid) => {
    assert.equal(usage(pid).openFiles, readdirSync(`/proc/${pid}/fd`).length);
    assert(usage(pid).openFiles > 100);
  }),
);

test("nothing is known of a process that has ended, reaped or not", LIMIT, () =>
  // Its parent takes no notice: it becomes another program, which knows of no child.
  withShell("(echo $BASHPID; exec true) & exec sleep 60", 1, async ([pid = 0]) => {
    await until("the end", DEADLINE_MS, () => (readStat(pid)?.state === "Z" ? true : undefined));
    assert.equal(readVitals(pid), undefined);
    assert.equal(readUsage(pid), undefined);
    const never = 2 ** 22;
    for (const known of [readStat(never), readVitals(never), readUsage(never)]) assert.equal(known, undefined);
  }),
);

test("a process may end while it is looked at", LIMIT, async () => {
  for (let round = 0; round < 20; round++) {
    const child = spawn("true", { stdio: "ignore" });
    const over = once(child, "exit");
    const pid = child.pid as number;
    await until("its end", DEADLINE_MS, () => {
      for (let look = 0; look < 20; look++) if (readVitals(pid) === undefined || !readUsage(pid)) return true;
      return undefined;
    });
    await over;
  }
});

test("kills for want of memory are counted as the kernel counts them", () => {
  const counted = /^oom_kill (\d+)$/m.exec(readFileSync("/proc/vmstat", "utf8"));
  assert.equal(oomKills(), Number(counted?.[1]));
});

function vitals(pid: number): NonNullable<ReturnType<typeof readVitals>> {
  const found = readVitals(pid);
  assert(found !== undefined, `there is no process ${pid}`);
  return found;
}

function whole(pid: number): number {
  return readVitals(pid, { whole: true })?.cpuMs ?? 0;
}

function usage(pid: number): NonNullable<ReturnType<typeof readUsage>> {
  const found = readUsage(pid);
  assert(found !== undefined, `there is no process ${pid}`);
  return found;
}

/** A Node of its own that runs `script`, from when that has been run once. */
async function withNode(script: string, body: (pid: number, child: ChildProcess) => Promise<void>): Promise<void> {
  const whole = `${script}; process.stdout.write("up");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", whole], { detached: true, stdio: "pipe" });
  await withChild(child, async () => {
    await once(child.stdout, "data");
    await body(child.pid as number, child);
  });
}

/** A shell that runs `script`, with a core's number in $1, once it has told `count` process ids. */
async function withShell(script: string, count: number, body: (pids: number[]) => Promise<void>): Promise<void> {
  const core = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const child = spawn("/bin/bash", ["-c", script, "test", core], { detached: true, stdio: "pipe" });
  await withChild(child, async () => {
    let told = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      told += text;
    });
    const pids = await until("process ids", DEADLINE_MS, () => {
      const lines = told.split("\n").slice(0, -1);
      return lines.length === count ? lines.map(Number) : undefined;
    });
    await body(pids);
  });
}

/** Its group is killed afterwards. */
async function withChild(child: ChildProcess, body: () => Promise<void>): Promise<void> {
  const over = once(child, "exit");
  try {
    await body();
  } finally {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), "SIGKILL");
    await over;
  }
}
