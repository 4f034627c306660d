import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { on, once } from "node:events";
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../test/until.ts";
import { linkCompliance } from "./testing/compliance.ts";
import { moduleCompliance } from "./testing/module-compliance.ts";
import { isRunning } from "./testing/running.ts";
import { onStage, Stage } from "./testing/stage.ts";

const LIMIT = { timeout: 20_000 };
const OUTPUT_TIMEOUT_MS = 10_000;

linkCompliance("process");
moduleCompliance("process");

/** A driver of 64 KiB of zeroes whose write does `misdeed`, with `from`, `fs` and `memory(name)` at hand. */
function misdoing(misdeed: string): string {
  return `
    import * as fs from "node:fs";
    export default { open(options, context) {
      const kept = context.keep("blocks", 65536);
      return {
        size: 65536, flush() {},
        read(offset, into) { into.set(kept.subarray(offset, offset + into.length)); },
        write(offset, from) { ${misdeed} },
      };
    } };
    // Where memory of that name is mapped, for writing through /proc/self/mem.
    function poke(name, at, bytes) {
      const line = fs.readFileSync("/proc/self/maps", "utf8").split("\\n").find((l) => l.includes(name));
      const fd = fs.openSync("/proc/self/mem", "r+");
      fs.writeSync(fd, bytes, 0, bytes.length, parseInt(line, 16) + at);
    }
  `;
}

function claim(name: string, text: string, body: (stage: Stage) => Promise<void>, file = "driver.mjs"): void {
  test(name, LIMIT, () => onStage(new Stage("process", text, {}, file), body));
}

/** A driver that is busy for a while after each read has settled. */
const LAGGING = `
  export default { open: () => ({ size: 512, read() {
    setImmediate(() => { for (const end = performance.now() + 200; performance.now() < end; ); });
  } }) };
`;

/** A driver whose calls take their time, and its event loop with it. */
const SLOW = `
  const never = new Int32Array(new SharedArrayBuffer(4));
  export default { open: () => ({ size: 512, read() { Atomics.wait(never, 0, 0, 100); } }) };
`;

claim("completions of slow calls are shown as they come, not when the batch is over", SLOW, async (stage) => {
  const link = await stage.open(1);
  for (const tag of [1, 2, 3, 4]) link.submit(tag, "read", 0, 0, 512, 0);
  link.kick();
  await stage.recorder.completion(1, 1);
  const before = stage.recorder.events.filter(({ kind }) => kind === "completed").length;
  assert(before < 4, "all four came at once");
  await stage.recorder.completion(1, 4);
});

const BLOCK = Buffer.alloc(512, 0x5a);

/** Has the driver do its misdeed; the write it does it in may never be answered. */
async function provoke(stage: Stage): Promise<void> {
  const link = await stage.open(1);
  const slot = stage.memory.writes.allocate(512)?.slots[0];
  slot?.bytes.set(BLOCK);
  link.submit(1, "write", 0, 0, 512, slot?.address ?? 0);
  link.kick();
}

async function endOf(stage: Stage): Promise<[fault: string, how: string]> {
  const { fault, how } = await stage.recorder.seen("exited", 1);
  return [fault, how];
}

/** The next incarnation serves as if nothing had been. */
async function goesOn(stage: Stage): Promise<void> {
  stage.incarnations.kill(1);
  await stage.recorder.seen("exited", 1);
  assert.equal((await stage.read(await stage.open(2), 0, 4096)).byteLength, 4096);
}

claim(
  "a driver that writes to a payload dies of it, and the payload is as it was",
  misdoing("from[0] = 1;"),
  async (s) => {
    const payload = s.memory.writes.allocate(512);
    await provoke(s);
    assert.deepEqual(await endOf(s), ["signal", "killed by SIGSEGV"]);
    if (payload !== undefined) s.memory.writes.release(payload);
    await goesOn(s);
  },
);

claim(
  "a driver that truncates every descriptor it finds harms nothing",
  misdoing(`
    for (const fd of fs.readdirSync("/proc/self/fd")) try { fs.ftruncateSync(Number(fd), 0); } catch {}
    for (const name of fs.readdirSync("/proc/self/map_files"))
      try { if (fs.readlinkSync("/proc/self/map_files/" + name).startsWith("/memfd:")) fs.truncateSync("/proc/self/map_files/" + name, 0); } catch {}
    kept.set(from, offset);
  `),
  async (stage) => {
    const link = await stage.open(1);
    assert.deepEqual(await stage.write(link, 512, BLOCK), { errno: 0, count: 512 });
    assert.deepEqual(await stage.read(link, 512, 512), BLOCK);
    for (const arena of [stage.memory.writes, stage.memory.reads]) assert.equal(arena.memory.at(-1), 0);
    await goesOn(stage);
  },
);

claim(
  "no memory file is open in a host whose driver has opened",
  misdoing(`
    const open = fs.readdirSync("/proc/self/fd").map((fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } });
    kept[0] = open.filter((path) => path.startsWith("/memfd:")).length;
  `),
  async (stage) => {
    const link = await stage.open(1);
    await stage.read(link, 0, 512);
    await stage.write(link, 0, BLOCK);
    assert.equal((await stage.read(link, 0, 512))[0], 0);
  },
);

claim(
  "a position out of range in the ring of completions is a fault",
  misdoing('poke("skink-completions", 0, Buffer.from([1, 2, 3, 4])); fs.writeSync(4, "!"); for (;;);'),
  async (stage) => {
    await provoke(stage);
    const { fault, what } = await stage.recorder.seen("fault", 1);
    assert.equal(fault, "ring-position");
    assert.match(what, /position in the ring of completions is out of range/);
    await goesOn(stage);
  },
);

claim(
  "rubbish all over the ring of completions is a fault",
  misdoing('poke("skink-completions", 0, Buffer.alloc(4096, 0xab)); fs.writeSync(4, "!"); for (;;);'),
  async (stage) => {
    await provoke(stage);
    await stage.recorder.seen("fault", 1);
    await goesOn(stage);
  },
);

claim(
  "a host cannot write to the ring of submissions",
  misdoing(`
    const { openSync, readFileSync, readlinkSync, readdirSync } = fs;
    for (const name of readdirSync("/proc/self/map_files")) {
      const path = "/proc/self/map_files/" + name;
      if (!readlinkSync(path).includes("skink-submissions")) continue;
      try { fs.writeSync(openSync(path, "r+"), Buffer.alloc(64, 0xff), 0, 64, 0); kept[0] = 1; } catch { kept[0] = 2; }
    }
  `),
  async (stage) => {
    const link = await stage.open(1);
    await stage.write(link, 0, BLOCK);
    assert.notEqual((await stage.read(link, 0, 512))[0], 1);
  },
);

claim(
  "a flood of the doorbell is a fault",
  misdoing('for (;;) try { fs.writeSync(4, "!!!!"); } catch {}'),
  async (stage) => {
    await provoke(stage);
    const { fault, what } = await stage.recorder.seen("fault", 1);
    assert.equal(fault, "doorbell");
    assert.match(what, /the doorbell rang \d+ times, at most \d+ were asked for/);
    await goesOn(stage);
  },
);

claim(
  "a control message that makes no sense is a fault",
  misdoing('fs.writeSync(3, "nonsense\\n");'),
  async (stage) => {
    await provoke(stage);
    const { fault, what } = await stage.recorder.seen("fault", 1);
    assert.equal(fault, "control-message");
    assert.match(what, /makes no sense/);
    await goesOn(stage);
  },
);

claim(
  "an endless control message is a fault",
  misdoing('for (;;) try { fs.writeSync(3, "x".repeat(1000)); } catch {}'),
  async (stage) => {
    await provoke(stage);
    assert.match((await stage.recorder.seen("fault", 1)).what, /longer than \d+ bytes/);
    await goesOn(stage);
  },
);

claim(
  "a host that opens twice is a fault",
  misdoing(`
    const geometry = { size: 512, blockSize: 512, readOnly: false, fua: false, trim: false, zero: false, extents: false };
    fs.writeSync(3, JSON.stringify({ type: "opened", info: { geometry, discards: false }, kept: [] }) + "\\n");
  `),
  async (stage) => {
    await provoke(stage);
    assert.match((await stage.recorder.seen("fault", 1)).what, /came twice/);
    assert.equal(stage.recorder.events.filter(({ kind }) => kind === "opened").length, 1);
  },
);

claim(
  "an exception outside a call ends the incarnation, and says why",
  misdoing("setImmediate(() => { throw new Error('boom'); });"),
  async (stage) => {
    await provoke(stage);
    assert.deepEqual(await endOf(stage), ["exception", "exit code 1: uncaught exception: boom"]);
    await goesOn(stage);
  },
);

claim("an unhandled rejection ends the incarnation", misdoing("Promise.reject(new Error('a\\nb'));"), async (stage) => {
  await provoke(stage);
  assert.deepEqual(await endOf(stage), ["rejection", "exit code 1: unhandled rejection: a b"]);
});

claim("a driver that exits is seen to have", misdoing("process.exit(7);"), async (stage) => {
  await provoke(stage);
  assert.deepEqual(await endOf(stage), ["exit", "exit code 7"]);
});

claim("a driver that aborts is seen to have", misdoing("process.abort();"), async (stage) => {
  await provoke(stage);
  assert.deepEqual(await endOf(stage), ["signal", "killed by SIGABRT"]);
});

claim("a driver that is killed from outside is seen to have been", misdoing(""), async (stage) => {
  await stage.open(1);
  process.kill(stage.incarnations.pid(1) ?? 0, "SIGKILL");
  assert.deepEqual(await endOf(stage), ["killed", "killed by SIGKILL"]);
});

claim(
  "a driver whose heap is full has run out of memory",
  misdoing("const hoard = []; for (;;) hoard.push(new Array(1000).fill({}));"),
  async (stage) => {
    // A small heap is full soon.
    const before = process.env.NODE_OPTIONS;
    process.env.NODE_OPTIONS = "--max-old-space-size=32";
    try {
      await provoke(stage);
    } finally {
      if (before === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = before;
    }
    assert.deepEqual(await endOf(stage), ["out-of-memory", "killed by SIGABRT: its JavaScript heap was full"]);
  },
);

claim("a driver that spins gives no sign of life, and takes CPU time", misdoing("for (;;);"), async (stage) => {
  const { incarnations } = stage;
  await provoke(stage);
  // The beat of the very submission in which it spins is the last.
  while (incarnations.beat(1) === 0) await delay(1);
  await delay(1);
  const [beat, before] = [incarnations.beat(1), incarnations.vitals(1)];
  assert(before !== undefined);
  incarnations.ping(1);
  let cpuMs = 0;
  while (cpuMs < 50) {
    await delay(1);
    cpuMs = (incarnations.vitals(1)?.cpuMs ?? 0) - before.cpuMs;
  }
  assert.equal(incarnations.beat(1), beat);
  assert.equal(incarnations.usage(1)?.lagMs, undefined);
});

claim("a ping tells how long the event loop keeps others waiting", LAGGING, async (stage) => {
  const link = await stage.open(1);
  await stage.read(link, 0, 512);
  stage.incarnations.ping(1);
  while (stage.incarnations.usage(1)?.lagMs === undefined) await delay(1);
  const lag = stage.incarnations.usage(1)?.lagMs ?? 0;
  assert(lag > 50 && lag < 5000, `${lag}`);
});

claim("a driver that spins in open can be killed", "export default { open() { for (;;); } }", async (stage) => {
  stage.start(1);
  stage.incarnations.kill(1);
  assert.equal((await stage.recorder.seen("exited", 1)).how, "killed by SIGKILL");
});

claim("a driver that spins in a call can be killed", misdoing("for (;;);"), async (stage) => {
  await provoke(stage);
  stage.incarnations.kill(1);
  assert.equal((await stage.recorder.seen("exited", 1)).how, "killed by SIGKILL");
});

claim(
  "what a host completed before its death is delivered before its end",
  misdoing("process.nextTick(() => process.exit(3));"),
  async (stage) => {
    await provoke(stage);
    await stage.recorder.seen("exited", 1);
    assert.deepEqual(stage.recorder.story(), ["opened 1", "completed 1 1", "exited 1"]);
  },
);

claim(
  "processes that a driver started end with it, before it counts as gone",
  `
    import { spawn } from "node:child_process";
    export default { open() {
      const child = spawn("sleep", ["600"], { stdio: "ignore" });
      return { size: 512, identity: String(child.pid), read() {} };
    } };
  `,
  async (stage) => {
    await stage.open(1);
    const child = (await stage.recorder.seen("opened", 1)).info.identity;
    assert.equal(existsSync(`/proc/${child}/cwd`), true);
    stage.incarnations.kill(1);
    await stage.recorder.seen("exited", 1);
    // A zombie has a folder in /proc still, but no working directory.
    assert.throws(() => process.kill(-Number(stage.incarnations.pid(1) ?? 2 ** 30), 0));
    assert.equal(isRunning(Number(child)), false);
  },
);

claim(
  "what a driver prints and logs comes out as lines, and a flood of it does not stop the driver",
  `
    export default { open(options, context) {
      console.log("printed\\ntwo lines");
      console.error("complained");
      context.log("logged\\nas one");
      for (let i = 0; i < 20_000; i++) console.log("flood " + i);
      return { size: 5000, blockSize: 4096, read() {} };
    } };
  `,
  async (stage) => {
    await stage.open(1);
    const { info } = await stage.recorder.seen("opened", 1);
    assert.equal(info.geometry.size, 4096);
    assert.equal(info.geometry.readOnly, true);
    for (const line of ["printed", "two lines", "complained", "logged as one"])
      await until(`line "${line}"`, OUTPUT_TIMEOUT_MS, () => stage.output.includes(line) || undefined);
    assert(stage.output.length < 1000);
  },
);

claim(
  "keeping memory outside open is refused",
  misdoing("try { context.keep('more', 4096); } catch (error) { kept[0] = error.code === 'EINVAL' ? 9 : 1; }"),
  async (stage) => {
    const link = await stage.open(1);
    await stage.write(link, 0, BLOCK);
    assert.equal((await stage.read(link, 0, 512))[0], 9);
  },
);

claim(
  "kept memory may be far larger than the machine's",
  `
    export default { open(options, context) {
      const memory = context.keep("huge", 2 ** 36);
      memory[2 ** 36 - 1]++;
      return { size: 512, identity: String(memory[2 ** 36 - 1]), read() {} };
    } };
  `,
  async (stage) => {
    await stage.open(1);
    stage.incarnations.kill(1);
    await stage.recorder.seen("exited", 1);
    await stage.open(2);
    assert.equal((await stage.recorder.seen("opened", 2)).info.identity, "2");
  },
);

claim(
  "a driver that was edited runs as it is now, whatever earlier hosts have left",
  "export default { open: () => ({ size: 512 as number, read() {} }) };",
  async (stage) => {
    for (const [epoch, size] of [512, 512, 1024].entries()) {
      writeFileSync(stage.path, `export default { open: () => ({ size: ${size} as number, read() {} }) };`);
      utimesSync(stage.path, size, size);
      await stage.open(epoch);
      assert.equal((await stage.recorder.seen("opened", epoch)).info.geometry.size, size);
      stage.incarnations.kill(epoch);
      await stage.recorder.seen("exited", epoch);
    }
  },
  "driver.ts",
);

test("a driver whose file is missing is refused by name", LIMIT, async () => {
  await onStage(new Stage("process", "", {}, "driver.ts"), async (stage) => {
    rmSync(stage.path);
    stage.start(1);
    const { message } = await stage.recorder.seen("openFailed", 1);
    assert.equal(
      message,
      `Cannot open driver driver.ts: there is no file ${stage.path}, a module that exports a driver was wanted`,
    );
  });
});

test("when the front is killed its hosts are gone within a second, a spinning one and a spare too", LIMIT, async () => {
  const folder = mkdtempSync(join(tmpdir(), "skink-orphans-"));
  // Each host connects here: the end of its connection is the end of its process.
  const server = createServer().listen(join(folder, "socket"));
  const driver = `
    import { connect } from "node:net";
    const socket = connect(${JSON.stringify(join(folder, "socket"))});
    const tell = (what) => new Promise((resolve) => socket.write(process.pid + " " + what + "\\n", resolve));
    await tell("loaded");
    export default { async open() {
      await tell("spins");
      for (;;);
    } };
  `;
  writeFileSync(join(folder, "driver.mjs"), driver);
  writeFileSync(join(folder, "front.ts"), frontScript(join(folder, "driver.mjs")));
  const front = spawn(process.execPath, [join(folder, "front.ts")], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const met = (on(server, "connection") as AsyncIterable<[Socket]>)[Symbol.asyncIterator]();
    const hosts = [(await met.next()).value[0], (await met.next()).value[0]] as const;
    const ready = Promise.all([heard(hosts, "spins"), once(createInterface(front.stdout), "line")]);
    const closed = Promise.all(hosts.map((socket) => once(socket, "close")));
    const [pid] = await ready;
    const since = performance.now();
    front.kill("SIGKILL");
    await closed;
    // Its descriptors are closed a moment before it counts as ended.
    while (isRunning(pid)) assert(performance.now() - since < 1000, "the host outlives its front");
    assert(performance.now() - since < 1000);
  } finally {
    front.kill("SIGKILL");
    server.close();
    rmSync(folder, { recursive: true });
  }
});

/** Which process says so on one of the sockets. */
function heard(sockets: readonly Socket[], what: string): Promise<number> {
  return new Promise((resolve) => {
    for (const socket of sockets) {
      socket.on("error", () => {});
      createInterface(socket).on("line", (line) => {
        if (line.endsWith(` ${what}`)) resolve(Number.parseInt(line, 10));
      });
    }
  });
}

function frontScript(driver: string): string {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  return `
    import { ProcessIncarnations } from ${module("process.ts")};
    import { createSharedArenas } from ${module("shared-arenas.ts")};
    const nothing = () => {};
    const incarnations = new ProcessIncarnations({
      sourceOf: () => ({ module: ${JSON.stringify(`file://${driver}`)}, options: {} }),
      memory: createSharedArenas({ writeBytes: 0, readBytes: 0 }),
      events: { opened: nothing, openFailed: nothing, completed: nothing, fault: nothing, settled: nothing, exited: nothing },
      output: nothing,
    });
    incarnations.start(1, { kind: "driver" });
    incarnations.prepare({ kind: "driver" }, () => console.log("prepared"));
  `;
}
