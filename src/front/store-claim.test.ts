import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { MARK } from "../link/process-mark.ts";
import { processId } from "../os/process-id.ts";
import { parseSpec } from "./spec.ts";
import { type ClaimConfig, StoreClaim } from "./store-claim.ts";

const LIMIT = { timeout: 30_000 };
/** A process that is none: numbers end below. */
const NO_PID = 2 ** 22 + 1;

/** A folder with a store, a driver, and locks of its own. */
class Place {
  readonly folder = mkdtempSync(join(tmpdir(), "skink-claim-"));
  /** For the log. */
  readonly said: string[] = [];
  readonly #claims: StoreClaim[] = [];

  constructor(t: TestContext) {
    process.env.XDG_RUNTIME_DIR = join(this.folder, "run");
    mkdirSync(join(this.folder, "sub"));
    for (const name of ["disk.img", "driver.ts", "other.ts"]) writeFileSync(join(this.folder, name), "");
    t.after(() => {
      for (const claim of this.#claims) claim.release(true);
      rmSync(this.folder, { recursive: true });
    });
  }

  async claim(spec: string, more: Partial<ClaimConfig> & { base?: string } = {}): Promise<StoreClaim> {
    const { base = this.folder, ...config } = more;
    const claim = await StoreClaim.take({
      config: { name: "disk", spec: parseSpec(spec, base), ...config },
      reapTimeoutMs: 100,
      say: (line) => this.said.push(line),
      signal: AbortSignal.timeout(LIMIT.timeout),
    });
    this.#claims.push(claim);
    return claim;
  }

  /** A front claims the store, does something, and dies. */
  async dies(spec: string, act: (claim: StoreClaim) => void, more: Partial<ClaimConfig>): Promise<void> {
    const claim = await this.claim(spec, more);
    act(claim);
    const records = this.locks.map((path) => [path, readFileSync(path, "utf8")] as const);
    claim.release(true);
    for (const [path, text] of records) writeFileSync(path, JSON.stringify({ ...JSON.parse(text), pid: NO_PID }));
  }

  async refused(spec: string, more: Partial<ClaimConfig> & { base?: string } = {}): Promise<void> {
    await assert.rejects(this.claim(spec, more), { code: "store-served" });
  }

  get locks(): string[] {
    return readdirSync(join(this.folder, "run/skink/locks")).map((name) => join(this.folder, "run/skink/locks", name));
  }
}

test("a file is one store by its path, a link, another name of its inode, and a relative path", LIMIT, async (t) => {
  const place = new Place(t);
  const { folder } = place;
  linkSync(join(folder, "disk.img"), join(folder, "hard.img"));
  symlinkSync("disk.img", join(folder, "soft.img"));
  symlinkSync(".", join(folder, "here"));
  const claim = await place.claim("file:disk.img");
  for (const name of ["disk.img", "hard.img", "soft.img", "here/soft.img", `${folder}/disk.img`])
    await place.refused(`file:${name}`);
  await place.refused("file:../disk.img", { base: join(folder, "sub") });
  await place.claim("file:other.ts");
  claim.release(true);
  await place.claim("file:hard.img");
});

test("of two who would both make a file, through a link that leads nowhere too, one may", LIMIT, async (t) => {
  const place = new Place(t);
  symlinkSync("new.img", join(place.folder, "dangling.img"));
  await place.claim("file:new.img?size=1M");
  await place.refused("file:new.img?size=1M");
  await place.refused("file:dangling.img?size=1M");
});

test("a module is one store by its options, in whichever order", LIMIT, async (t) => {
  const place = new Place(t);
  await place.claim("./driver.ts?a=1&b=2");
  await place.refused("./driver.ts?b=2&a=1");
  await place.claim("./driver.ts?a=1");
  await place.claim("./other.ts?a=1&b=2");
});

test("a command is one store in its folder, and a server's export by its address", LIMIT, async (t) => {
  const place = new Place(t);
  await place.claim("exec:server {socket}");
  await place.refused("exec:server {socket}");
  await place.claim("exec:server {socket}", { base: join(place.folder, "sub") });
  await place.claim("nbd://localhost/disk?connections=1");
  await place.refused("nbd://127.0.0.1:10809/disk");
  await place.claim("nbd://localhost/other");
  await place.claim("nbd+unix:///disk?socket=server.sock");
  await place.refused(`nbd+unix:///disk?socket=${process.cwd()}/server.sock`);
});

test("memory, nothing, and what is said to be shared are each front's own", LIMIT, async (t) => {
  const place = new Place(t);
  for (const spec of ["memory:1M", "null:1M"]) for (let i = 0; i < 2; i++) await place.claim(spec);
  for (let i = 0; i < 2; i++) await place.claim("exec:server {socket}", { shared: true });
});

test("many may read a store, but not beside one who writes", LIMIT, async (t) => {
  const place = new Place(t);
  const readers = [await place.claim("file:disk.img", { readOnly: true }), await place.claim("file:disk.img?readonly")];
  await place.refused("file:disk.img");
  for (const reader of readers) reader.release(true);
  await place.claim("file:disk.img");
  await place.refused("file:disk.img", { readOnly: true });
});

test("a fallback's store is locked as well, and so is that of a newcomer until it is given back", LIMIT, async (t) => {
  const place = new Place(t);
  const claim = await place.claim("file:disk.img", { fallback: parseSpec("./driver.ts", place.folder) });
  await place.refused("./driver.ts");
  const other = await place.claim("./other.ts");
  const newcomer = parseSpec("./other.ts", place.folder);
  await assert.rejects(claim.add(newcomer), { code: "store-served", message: /^Cannot upgrade disk: / });
  other.release(true);
  const giveBack = await claim.add(newcomer);
  await place.refused("./other.ts");
  giveBack();
  await place.claim("./other.ts");
});

test("two names of one store are found by what their drivers call it", LIMIT, async (t) => {
  const place = new Place(t);
  const [first, second] = [parseSpec("./driver.ts", place.folder), parseSpec("./other.ts", place.folder)];
  const one = await place.claim("./driver.ts");
  const two = await place.claim("./other.ts");
  assert.equal(one.identify(first, "store 1"), undefined);
  assert.equal(one.identify(first, "store 1"), undefined);
  assert.match(
    two.identify(second, "store 1") ?? "",
    /^Cannot serve disk: its store \(other.ts\) is served by device "disk" of this front/,
  );
  assert.equal(two.identify(second, "store 2"), undefined);
  one.release(true);
  assert.equal(two.identify(second, "store 1"), undefined);
});

test(
  "the error says which device of which front serves the store, with its epoch, and since when",
  LIMIT,
  async (t) => {
    const place = new Place(t);
    const holder = await place.claim("file:disk.img", { name: "first" });
    holder.started(1234, undefined);
    const since = new Date().toTimeString().slice(0, 5);
    await assert.rejects(place.claim("file:disk.img"), {
      message: new RegExp(
        `^Cannot serve disk: its store \\(file:${place.folder}/disk.img\\) is served by device "first" of this front ` +
          `\\(epoch 1234, since ${since}:\\d\\d\\), it alone was wanted: stop that one first, or [^\\n]+$`,
      ),
    });
  },
);

for (const [what, owner] of [
  ["of a process that is no more", { pid: NO_PID, started: 1 }],
  ["of a process whose number another one has by now", { pid: process.pid, started: 1 }],
] as const) {
  test(`a lock ${what} is taken, and its epochs go on`, LIMIT, async (t) => {
    const place = new Place(t);
    const before = await place.claim("file:disk.img");
    const [path = ""] = place.locks;
    before.release(true);
    const epoch = Number.MAX_SAFE_INTEGER - 5;
    const since = new Date().toISOString();
    writeFileSync(path, JSON.stringify({ store: "", device: "d", since, host: hostname(), epoch, ...owner }));
    const claim = await place.claim("file:disk.img");
    assert.equal(claim.lastEpoch, epoch);
    const record = JSON.parse(readFileSync(path, "utf8"));
    assert.deepEqual([record.pid, record.started, record.epoch], [process.pid, processId(process.pid)?.started, epoch]);
  });
}

test("garbage in the lock's file is written over", LIMIT, async (t) => {
  const place = new Place(t);
  const before = await place.claim("file:disk.img");
  const [path = ""] = place.locks;
  before.release(true);
  writeFileSync(path, "garbage");
  const claim = await place.claim("file:disk.img");
  assert.equal(claim.lastEpoch, 0);
  await place.refused("file:disk.img");
});

test(
  "what a dead front has left is killed before the store is given, and its last driver is waited for",
  LIMIT,
  async (t) => {
    const place = new Place(t);
    const first = await place.claim("./driver.ts");
    const mark = first.newMark().replace(/-\d+-\d+\./, `-${NO_PID}-1.`);
    const orphan = await started(t, mark);
    const driver = await started(t, undefined);
    first.started(5, driver.pid);
    const [path = ""] = place.locks;
    const record = readFileSync(path, "utf8");
    first.release(true);
    writeFileSync(path, JSON.stringify({ ...JSON.parse(record), pid: NO_PID }));
    await assert.rejects(place.claim("./driver.ts"), {
      code: "not-fenced",
      message: new RegExp(
        `^Cannot serve disk: process ${driver.pid} \\(state S\\) of an earlier front's driver still has its store`,
      ),
    });
    assert.equal(orphan.signalCode ?? (await once(orphan, "exit"))[1], "SIGKILL");
    // What the file tells is not forgotten by a failure.
    await assert.rejects(place.claim("./driver.ts"), { code: "not-fenced" });
    driver.kill("SIGKILL");
    await once(driver, "exit");
    assert.equal((await place.claim("./driver.ts")).lastEpoch, 5);
  },
);

test("a front that dies before its log may hold anything leaves the choice of the home open", LIMIT, async (t) => {
  const place = new Place(t);
  await place.dies("file:disk.img", (claim) => claim.started(5, undefined), logAt("a.log"));
  const next = await place.claim("file:disk.img");
  assert.equal(next.leftBehind, undefined);
});

test("what a front has left in its log is tied to that log, whatever its path is called by", LIMIT, async (t) => {
  const place = new Place(t);
  symlinkSync("a.log", join(place.folder, "link.log"));
  const shadowKept = (claim: StoreClaim): void => claim.shadowKept();
  await place.dies("file:disk.img", shadowKept, logAt(join(place.folder, "a.log")));
  for (const other of [{}, logAt(join(place.folder, "b.log")), { home: { kind: "shm" } } as const]) {
    // To be refused changes nothing.
    for (let tries = 0; tries < 2; tries++) {
      await assert.rejects(place.claim("file:disk.img", other), { code: "other-home" });
    }
  }
  const same = logAt(join(place.folder, "link.log"));
  const failing = await place.claim("file:disk.img", same);
  assert.deepEqual(failing.leftBehind?.split(" and ").sort(), place.locks.sort());
  // What could not be opened is still there.
  failing.abandon();
  await assert.rejects(place.claim("file:disk.img"), { code: "other-home" });
  const clean = await place.claim("file:disk.img", same);
  clean.release(true);
  await place.claim("file:disk.img");
});

test("what is spent of a log is told to the next front, until that one has the log in use", LIMIT, async (t) => {
  const place = new Place(t);
  const log = logAt(join(place.folder, "a.log"));
  const spend = (claim: StoreClaim): void => {
    claim.shadowKept();
    claim.markLog(SPENT);
  };
  await place.dies("file:disk.img", spend, log);
  await assert.rejects(place.claim("file:disk.img"), { code: "other-home" });
  // One that dies before the log can say so itself has changed nothing.
  const tellsOn = (claim: StoreClaim): void => {
    // The file and its inode. So it need not be there any more.
    assert.deepEqual([claim.spentLogs, claim.leftBehind], [[SPENT, SPENT], undefined]);
    claim.shadowKept();
    claim.started(5, undefined);
  };
  for (let deaths = 0; deaths < 2; deaths++) await place.dies("file:disk.img", tellsOn, log);
  await place.dies("file:disk.img", (claim) => claim.markLog(undefined), log);
  const next = await place.claim("file:disk.img", log);
  assert.deepEqual(next.spentLogs, []);
  assert.notEqual(next.leftBehind, undefined);
});

test(
  "what a front has left in a log is wanted, and its lock says so, though another lock says what was spent before",
  LIMIT,
  async (t) => {
    const place = new Place(t);
    const log = logAt(join(place.folder, "a.log"));
    const both = { ...log, fallback: parseSpec("./other.ts", place.folder) };
    const spend = (claim: StoreClaim): void => {
      claim.shadowKept();
      claim.markLog(SPENT);
    };
    await place.dies("./driver.ts", spend, both);
    const goesOn = (claim: StoreClaim): void => {
      claim.shadowKept();
      claim.markLog(undefined);
    };
    await place.dies("./driver.ts", goesOn, log);
    for (let deaths = 0; deaths < 2; deaths++) {
      const tellsOn = (claim: StoreClaim): void => {
        assert.deepEqual(claim.spentLogs, [SPENT]);
        assert.match(claim.leftBehind ?? "", /^\S+\.lock$/, "that of the driver alone");
        claim.started(5, undefined);
      };
      await place.dies("./driver.ts", tellsOn, both);
    }
  },
);

test("pieces of a log that was spent are not replayed on its store under another name", LIMIT, async (t) => {
  const place = new Place(t);
  const log = logAt(join(place.folder, "a.log"));
  const [first, second] = [parseSpec("./driver.ts", place.folder), parseSpec("./other.ts", place.folder)];
  const spend = (claim: StoreClaim): void => {
    assert.equal(claim.identify(first, "store 1"), undefined);
    claim.shadowKept();
    claim.markLog(SPENT);
  };
  await place.dies("./driver.ts", spend, log);
  for (const [takenUp, isRefused] of [
    [SPENT, true],
    [{ ...SPENT, run: SPENT.run + 1 }, false],
    [{ ...SPENT, id: "def" }, false],
    [undefined, false],
  ] as const) {
    const claim = await place.claim("./other.ts", log);
    claim.takesUp(takenUp);
    const refusal = claim.identify(second, "store 1");
    if (isRefused) assert.match(refusal ?? "", /^Cannot serve disk: its log was spent when .* was wanted: remove it$/);
    else assert.equal(refusal, undefined);
    claim.abandon();
  }
});

test("a newcomer's store that a dead front has left with another home is refused", LIMIT, async (t) => {
  const place = new Place(t);
  await place.dies("./other.ts", (claim) => claim.shadowKept(), logAt("a.log"));
  const claim = await place.claim("./driver.ts");
  const message = /^Cannot upgrade disk: an earlier front that died has kept its shadow in disk:a.log, which/;
  await assert.rejects(claim.add(parseSpec("./other.ts", place.folder)), { code: "other-home", message });
  assert.equal(claim.identify(parseSpec("./driver.ts", place.folder), "a store"), undefined);
});

test("a lock file that was removed is made and locked anew by the next start of a driver", LIMIT, async (t) => {
  const place = new Place(t);
  const claim = await place.claim("./driver.ts");
  for (const path of place.locks) rmSync(path);
  claim.started(5, undefined);
  assert.deepEqual(place.said, [`its lock ${place.locks[0]} was removed meanwhile, and is made anew`]);
  await place.refused("./driver.ts");
  for (const path of place.locks) rmSync(path);
  await place.claim("./driver.ts");
  claim.started(6, undefined);
  assert.match(
    place.said[1] ?? "",
    /^its lock \S+ was removed, and by now its store is served by device "disk" of this front/,
  );
});

test("a folder that can't be made is a clear error", LIMIT, async (t) => {
  const place = new Place(t);
  process.env.XDG_RUNTIME_DIR = join(place.folder, "disk.img");
  await assert.rejects(place.claim("file:disk.img"), {
    code: "bad-folder",
    message: `Cannot use ${place.folder}/disk.img/skink: ENOTDIR, a folder of this user was wanted; XDG_RUNTIME_DIR names the folder around it`,
  });
});

const SPENT = { id: "abc", run: 3 };

function logAt(path: string): Pick<ClaimConfig, "home"> {
  return { home: { kind: "disk", path, bytes: undefined } };
}

/** A process that does nothing, with the mark in its environment. */
async function started(t: TestContext, mark: string | undefined): Promise<ChildProcess> {
  const env = { ...process.env, ...(mark === undefined ? {} : { [MARK]: mark }) };
  const child = spawn("/bin/sh", ["-c", "echo up; read -r nothing"], { env, stdio: ["pipe", "pipe", "ignore"] });
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout as NonNullable<typeof child.stdout>, "data");
  return child;
}
