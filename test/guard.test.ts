import { strict as assert } from "node:assert";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MAX_STORED_DESCRIPTORS } from "../src/guard/descriptor-store.ts";
import { Guard, type GuardOptions } from "../src/guard/guard.ts";
import { createSendingSocket, sendDatagram } from "../src/os/datagram.ts";
import { isRunning } from "./processes.ts";
import { inScene, type Scene } from "./scene.ts";
import { until, within } from "./until.ts";

const FAKE_FRONT = fileURLToPath(new URL("fake-front.ts", import.meta.url));
const EVENT_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 20_000;

test("a front that is killed finds again what it stored, ten times in a row", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "ready", "stay"]);
    for (let life = 1; life <= 10; life++) {
      const { pid } = await guarded.noted("ready", life);
      // Nobody is refused: who comes while no front lives waits for the next one.
      const answer = ask(guarded.socket);
      assert.equal(await answer, String(pid));
      process.kill(pid, "SIGKILL");
      const waiting = ask(guarded.socket);
      const next = await guarded.noted("ready", life + 1);
      assert.ok([pid, next.pid].map(String).includes((await waiting) || String(pid)));
    }
    assert.deepEqual(
      guarded.all("counted").map(({ count }) => count),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
    for (const { names, strangers } of guarded.all("start").slice(1)) {
      assert.deepEqual(names, ["memory", "listener"]);
      assert.deepEqual(strangers, []);
    }
    assert.equal(await guarded.end("SIGTERM"), 0);
    assert.equal(guarded.said.length, 10);
    for (const line of guarded.said) {
      assert.match(line, /^guard: the front was ended by SIGKILL after \d+\.\d s; the next one starts in \d+ ms$/);
    }
  }));

for (const [what, steps, code] of [
  ["a front that ends well", ["ready", "exit=0"], 0],
  ["a front that was never ready", ["exit=3"], 3],
  ["a front that was told nonsense", ["exit=2"], 2],
  ["a front that says it stops, and then fails", ["ready", "stopping", "exit=1"], 1],
  ["a front that says it stops, and is then killed", ["ready", "stopping", "kill"], 137],
  ["a front that is killed before it was ready", ["kill"], 137],
] as const) {
  test(`${what} ends its guard, with its exit code`, () =>
    inScene(async (scene) => {
      const guarded = new Guarded(scene, steps);
      assert.equal(await guarded.ended, code);
      assert.equal(guarded.all("start").length, 1);
      assert.deepEqual(guarded.said, []);
    }));
}

test("a front that fails after it was ready is started again", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["ready", "first:exit=1", "stay"]);
    await guarded.noted("ready", 2);
    assert.equal(await guarded.end("SIGTERM"), 0);
    assert.match(guarded.said.join("\n"), /^guard: the front ended with exit code 1 after [\d.]+ s; the next one/);
  }));

test("fronts that fail again and again are tried for ever, at growing intervals up to the longest", () =>
  inScene(async (scene) => {
    const steps = ["store", "first:ready", "first:kill", "exit=2"];
    const guarded = new Guarded(scene, steps, { restartDelayMs: 1, maxRestartDelayMs: 8 });
    await guarded.noted("start", 8);
    const delays = guarded.said.map((line) => Number(/ (\d+) ms$/.exec(line)?.[1]));
    assert.deepEqual(delays.slice(0, 6), [1, 2, 4, 8, 8, 8]);
    assert.match(guarded.said[4] as string, /exit code 2 after [\d.]+ s, before it was ready, 4 in a row; /);
    // What was stored is still there: it may be all that is left of somebody's writes.
    assert.deepEqual(guarded.all("start").at(-1)?.names, ["memory", "listener"]);
    await guarded.end("SIGTERM");
  }));

test("a front that takes over is started again before it was ever ready, unless it says that it ends", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["first:store", "first:takesOver", "first:kill", "store", "ready", "stay"]);
    await guarded.noted("ready");
    assert.deepEqual(
      guarded.all("counted").map(({ count }) => count),
      [1, 2],
    );
    assert.equal(await guarded.end("SIGTERM"), 0);
    const refused = new Guarded(scene, ["takesOver", "stopping", "exit=1"]);
    assert.equal(await refused.ended, 1);
    assert.deepEqual(refused.said, []);
  }));

test("a front that has served for a while is started again at once", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["ready", "stay"], { restartDelayMs: 1, steadyMs: 0 });
    for (let life = 1; life <= 4; life++) process.kill((await guarded.noted("ready", life)).pid, "SIGKILL");
    await guarded.noted("ready", 5);
    for (const line of guarded.said) assert.match(line, / in 1 ms$/);
    assert.equal(await guarded.end("SIGTERM"), 0);
  }));

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`${signal} is passed on, and its front's end is the guard's`, () =>
    inScene(async (scene) => {
      const guarded = new Guarded(scene, ["ready", "stay"]);
      await guarded.noted("ready");
      assert.equal(await guarded.end(signal), 0);
      assert.equal(guarded.all(signal).length, 1);
    }));
}

test("a signal between two fronts has the next one take up what is stored, and then stop", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "ready", "stay"], { restartDelayMs: 2 * EVENT_TIMEOUT_MS });
    process.kill((await guarded.noted("ready")).pid, "SIGKILL");
    await until("the guard to wait", EVENT_TIMEOUT_MS, () => (guarded.said.length > 0 ? true : undefined));
    assert.equal(await guarded.end("SIGTERM"), 0);
    const { pid } = guarded.all("ready")[1] ?? {};
    assert.deepEqual(guarded.all("SIGTERM"), [{ pid, event: "SIGTERM" }]);
    assert.equal(guarded.said.length, 1);
  }));

test("a signal that found no front ready in the end says what that costs", () =>
  inScene(async (scene) => {
    const steps = ["store", "ready", "stay"].map((step) => `first:${step}`);
    const guarded = new Guarded(scene, [...steps, "exit=1"], { restartDelayMs: 2 * EVENT_TIMEOUT_MS });
    process.kill((await guarded.noted("ready")).pid, "SIGKILL");
    await until("the guard to wait", EVENT_TIMEOUT_MS, () => (guarded.said.length > 0 ? true : undefined));
    assert.equal(await guarded.end("SIGTERM"), 1);
    assert.match(
      guarded.said[1] as string,
      /exit code 1 before it was ready, and was to stop: what was not durable is/,
    );
  }));

test("a second signal doesn't wait for a front to be ready", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["first:ready", "first:kill", "stay"]);
    await guarded.noted("start", 2);
    guarded.guard.signal("SIGTERM");
    assert.equal(await guarded.end("SIGINT"), 0);
    assert.equal(guarded.all("SIGTERM").length, 0);
    assert.equal(guarded.all("SIGINT").length, 1);
  }));

test("a front that is killed while it stops is started again to stop, while something is stored, a few times", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "first:mortal", "ready", "stay"]);
    await guarded.noted("ready");
    assert.equal(await guarded.end("SIGTERM"), 0);
    assert.equal(guarded.all("start").length, 2);
    assert.equal(guarded.all("SIGTERM").length, 2);
    assert.match(
      guarded.said.join("\n"),
      /^guard: the front was ended by SIGKILL after \S+ s; .* and stops when it is ready$/,
    );
  }));

test("a front that is killed whenever it stops is started no more in the end", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "mortal", "ready", "stay"]);
    await guarded.noted("ready");
    assert.equal(await guarded.end("SIGTERM"), 137);
    assert.equal(guarded.all("start").length, 6);
  }));

test("a front that leaves what is stored to another one, and is killed, is not started again", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "ready", "leaves", "kill"]);
    assert.equal(await guarded.ended, 137);
    assert.equal(guarded.all("start").length, 1);
  }));

test("a second signal after a front was killed while it stopped is the end", () =>
  inScene(async (scene) => {
    const options = { restartDelayMs: 2 * EVENT_TIMEOUT_MS };
    const guarded = new Guarded(scene, ["store", "mortal", "ready", "stay"], options);
    await guarded.noted("ready");
    guarded.guard.signal("SIGTERM");
    await until("the guard to wait", EVENT_TIMEOUT_MS, () => (guarded.said.length > 0 ? true : undefined));
    assert.equal(await guarded.end("SIGTERM"), 143);
    assert.equal(guarded.all("start").length, 1);
  }));

test("a front that the machine can't start just now is started later", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "ready", "stay"]);
    const { pid } = await guarded.noted("ready");
    // More than a program can be given, so that to start one throws.
    process.env.SKINK_TEST_TOO_LONG = "x".repeat(1 << 18);
    try {
      process.kill(pid, "SIGKILL");
      const failed = /could not be started \(spawn E2BIG\)/;
      await until("an attempt", EVENT_TIMEOUT_MS, () => (failed.test(guarded.said.join("\n")) ? true : undefined));
    } finally {
      delete process.env.SKINK_TEST_TOO_LONG;
    }
    await guarded.noted("ready", 2);
    assert.deepEqual(guarded.all("start")[1]?.names, ["memory", "listener"]);
    assert.equal(await guarded.end("SIGTERM"), 0);
  }));

test("a front whose event loop stands still is killed, and started again", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["ready", "first:deaf", "stay"], { watchdogMs: 1500 });
    await guarded.noted("ready", 2);
    assert.match(guarded.said[0] as string, /^guard: kills the front: its event loop has stood still for 1500 ms$/);
    assert.equal(await guarded.end("SIGTERM"), 0);
  }));

test("what is too much to keep is said once, and the front goes on and knows", () =>
  inScene(async (scene) => {
    const [last, first] = [`flood-${MAX_STORED_DESCRIPTORS - 1}`, `flood-${MAX_STORED_DESCRIPTORS}`];
    const asked = [`first:kept=${last}`, `first:kept=${first}`];
    const guarded = new Guarded(scene, [`first:flood=${MAX_STORED_DESCRIPTORS + 5}`, ...asked, "ready", "stay"]);
    process.kill((await guarded.noted("ready")).pid, "SIGKILL");
    await guarded.noted("ready", 2);
    assert.deepEqual(
      guarded.all("kept").map(({ name, isKept }) => [name, isKept]),
      [
        [last, true],
        [first, false],
      ],
    );
    const { names = [] } = guarded.all("start")[1] ?? {};
    assert.deepEqual(
      names,
      Array.from({ length: MAX_STORED_DESCRIPTORS }, (_, index) => `flood-${index}`),
    );
    const limit = `${MAX_STORED_DESCRIPTORS} descriptors are stored, which is the limit`;
    assert.equal(guarded.said[0], `guard: does not keep flood-${MAX_STORED_DESCRIPTORS} for the next front: ${limit}`);
    assert.equal(guarded.said.length, 2);
    assert.equal(await guarded.end("SIGTERM"), 0);
  }));

test("what others tell a guard means nothing", () =>
  inScene(async (scene) => {
    const guarded = new Guarded(scene, ["store", "stay"]);
    const { pid } = await guarded.noted("counted");
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
    const path = environment.find((line) => line.startsWith("NOTIFY_SOCKET=@"))?.replace("NOTIFY_SOCKET=@", "\0") ?? "";
    const sender = createSendingSocket(EVENT_TIMEOUT_MS);
    const lies = ["READY=1", "FDSTOREREMOVE=1\nFDNAME=memory", "FDSTORE=1", "\xff\0", "x".repeat(5000)];
    for (const lie of lies) sendDatagram(sender, path, Buffer.from(lie), [sender]);
    // Were it ready, it would be started again.
    process.kill(pid, "SIGKILL");
    assert.equal(await guarded.ended, 137);
    assert.deepEqual(guarded.said, []);
  }));

test("a command that can't be started is the guard's failure", () =>
  inScene(async (scene) => {
    const said: string[] = [];
    const guard = new Guard({ command: [scene.path("none")], say: (line) => said.push(line) });
    assert.equal(await within("the end of the guard", END_TIMEOUT_MS, guard.run()), 127);
  }));

interface Noted {
  readonly pid: number;
  readonly event: string;
  readonly names?: readonly string[];
  readonly strangers?: readonly string[];
  readonly count?: number;
  readonly name?: string;
  readonly isKept?: boolean;
}

/** A guard in this process, and its fake fronts. */
class Guarded {
  readonly guard: Guard;
  readonly ended: Promise<number>;
  /** What the guard has said. */
  readonly said: string[] = [];
  readonly #log: string;

  constructor(scene: Scene, steps: readonly string[], options: Partial<GuardOptions> = {}) {
    this.#log = scene.path("front.log");
    const command = [process.execPath, FAKE_FRONT, this.#log, ...steps];
    this.guard = new Guard({ command, say: (line) => this.said.push(line), restartDelayMs: 1, ...options });
    this.ended = within("the end of the guard", 2 * END_TIMEOUT_MS, this.guard.run());
    this.ended.catch(() => {});
    scene.defer(async () => {
      this.guard.signal("SIGTERM");
      await within("the end of the guard", END_TIMEOUT_MS, this.ended);
      // Fronts that were killed have left it.
      rmSync(this.socket, { force: true });
      assert.ok(this.all("start").every(({ pid }) => !isRunning(pid)));
    });
  }

  get socket(): string {
    return `${this.#log}.sock`;
  }

  /** What its fronts have written down of `event`. */
  all(event: string): Noted[] {
    const lines = existsSync(this.#log) ? readFileSync(this.#log, "utf8").split("\n").slice(0, -1) : [];
    return lines.map((line): Noted => JSON.parse(line)).filter((noted) => noted.event === event);
  }

  /** Waits for the `count`-th of them. */
  noted(event: string, count = 1): Promise<Noted> {
    return until(`${event} of front ${count}`, EVENT_TIMEOUT_MS, () => this.all(event)[count - 1]);
  }

  /** Sends the guard a signal; resolves with its exit code. */
  end(signal: NodeJS.Signals): Promise<number> {
    this.guard.signal(signal);
    return within(`the end of the guard by ${signal}`, END_TIMEOUT_MS, this.ended);
  }
}

/** What answers at a socket, which may have been accepted by a front that died then: nothing. Rejects if nobody listens. */
function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    let connected = false;
    const socket = connect({ path }, () => {
      connected = true;
    });
    socket.setEncoding("utf8").on("data", (text: string) => {
      answer += text;
    });
    socket.on("error", (error) => (connected ? resolve(answer) : reject(error)));
    socket.on("close", () => resolve(answer));
  });
}
