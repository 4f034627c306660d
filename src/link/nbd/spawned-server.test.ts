import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until, within } from "../../../test/until.ts";
import type { Link } from "../../shadow/ports.ts";
import { createHeapArenas } from "../shared-arenas.ts";
import { Recorder } from "../testing/recorder.ts";
import { NbdIncarnations } from "./nbd.ts";

const LIMIT = { timeout: 20_000 };
const SOON_MS = 3000;
const DRIVER = { kind: "exec" };

/** A server with ends of its own. */
const SERVER = `
  import { realClock } from "${new URL("../../front/clock.ts", import.meta.url)}";
  import { NbdServer } from "${new URL("../../nbd/server/server.ts", import.meta.url)}";
  import { FakeDevice, oneExport } from "${new URL("../../nbd/server/testing.ts", import.meta.url)}";
  const server = new NbdServer({ exports: oneExport(new FakeDevice()), clock: realClock, hungUp: () => false });
  await server.listen({ path: process.argv[2] });
  process.on("SIGUSR1", () => process.exit(3));
  process.on("SIGUSR2", () => { setInterval(() => {}, 1e6); server.close(0); });
`;

for (const [what, signal, kind, message] of [
  ["exits", "SIGUSR1", "exit", "the NBD server has ended: exit code 3"],
  ["crashes", "SIGSEGV", "signal", "the NBD server has ended: killed by SIGSEGV"],
  ["is killed by somebody", "SIGKILL", "killed", "the NBD server has ended: killed by SIGKILL"],
  ["hangs up, and runs on,", "SIGUSR2", "disconnected", "the NBD server closed its connection"],
] as const) {
  test(`a server that ${what} is known by that`, LIMIT, async (context) => {
    const { incarnations, recorder, pid } = await opened(context);
    process.kill(pid, signal);
    const { fault, what: told } = await recorder.seen("fault", 1);
    assert.deepEqual([fault, told], [kind, message]);
    incarnations.kill(1);
    await recorder.seen("exited", 1);
    assert.deepEqual(recorder.story(), ["opened 1", "fault 1", "exited 1"]);
  });
}

test("a server that is stopped with requests in hand is known to be, killed and reaped", LIMIT, async (context) => {
  const { incarnations, recorder, link, pid } = await opened(context);
  process.kill(pid, "SIGSTOP");
  await until("it to stop", SOON_MS, () => (incarnations.vitals(1)?.suspended === true ? true : undefined));
  link.submit(1, "read", 0, 0, 4096, 4096);
  link.submit(2, "flush", 0, 0, 0, 0);
  link.kick();
  incarnations.kill(1);
  const { fault, how } = await within("its end", SOON_MS, recorder.seen("exited", 1));
  assert.deepEqual([fault, how], ["killed", "killed by SIGKILL"]);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  assert.deepEqual([incarnations.vitals(1), incarnations.usage(1), incarnations.pid(1)], Array(3).fill(undefined));
});

test(
  "of a server of ours the machine tells how it is, and it gives no sign of life by itself",
  LIMIT,
  async (context) => {
    const { incarnations, link } = await opened(context);
    const vitals = incarnations.vitals(1);
    assert(vitals !== undefined && vitals.cpuMs > 0 && !vitals.suspended);
    const usage = incarnations.usage(1);
    assert(usage !== undefined && usage.residentBytes > 1 << 20 && usage.openFiles > 3);
    assert.equal(usage.lagMs, undefined);
    incarnations.ping();
    assert.equal(incarnations.beat(), undefined);
    assert.equal(link.patience, 1);
  },
);

interface Opened {
  readonly incarnations: NbdIncarnations;
  readonly recorder: Recorder;
  readonly link: Link;
  readonly pid: number;
}

/** A server that serves. What is left of it goes with the test. */
async function opened(context: TestContext): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), "skink-link-"));
  writeFileSync(join(folder, "server.mts"), SERVER);
  const command = `${process.execPath} --disable-warning=ExperimentalWarning server.mts {socket}`;
  const recorder = new Recorder();
  const incarnations = new NbdIncarnations({
    sourceOf: () => ({ type: "command", command, folder, name: "disk", connections: 2 }),
    wantsWrites: true,
    memory: createHeapArenas({ writeBytes: 0, readBytes: 0 }),
    events: recorder,
    output: () => {},
  });
  context.after(async () => {
    incarnations.kill(1);
    await recorder.seen("exited", 1);
    incarnations.dispose();
    rmSync(folder, { recursive: true });
  });
  incarnations.start(1, DRIVER);
  const { link } = await recorder.seen("opened", 1);
  return { incarnations, recorder, link, pid: incarnations.pid(1) as number };
}
