import { strict as assert } from "node:assert";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { FrontStatus } from "../front/status.ts";
import { NbdClient } from "../nbd/client.ts";
import { CommandBench } from "./testing.ts";

const bench = new CommandBench();
after(() => bench.remove());

writeFileSync(join(bench.folder, "throws.mjs"), 'export default { open() { throw new Error("no luck"); } };');
writeFileSync(join(bench.folder, "endless.mjs"), "export default { open() { return new Promise(() => {}); } };");
writeFileSync(
  join(bench.folder, "stuck.mjs"),
  `export default { open: () => ({
    size: 1 << 20, read() {}, write() { console.log("stuck now"); return new Promise(() => {}); }, flush() {},
  }) };`,
);

test("a front serves, shows, kills, restarts and stops its device, and leaves nothing behind", async () => {
  const { uris, finished } = bench.serve(1, "memory:1M", "--name", "disk");
  const uri = (await uris).disk ?? "";
  const client = await NbdClient.connect(uri);
  const data = new Uint8Array(4096).fill(7);
  await client.write(8192, data);
  assert.equal((await bench.run("kill", "disk")).code, 0);
  assert.deepEqual(await client.read(8192, 4096), data);
  assert.equal((await bench.run("restart", "disk")).code, 0);
  assert.deepEqual(await client.read(8192, 4096), data);

  const { devices } = JSON.parse((await bench.run("status", "--json")).stdout) as FrontStatus;
  const [device] = devices;
  assert.equal(devices.length, 1);
  assert.equal(device?.name, "disk");
  assert.equal(device?.uri, uri);
  assert.equal(device?.size, 1 << 20);
  assert.equal(device?.state, "live");
  assert.equal(device?.driver.kind, "memory");
  assert.equal(device?.restarts, 2);
  assert.deepEqual(
    device?.recoveries.map(({ reason }) => reason),
    ["killed by the operator", "restarted by the operator"],
  );
  const table = (await bench.run("status")).stdout.split("\n");
  assert.match(table[0] ?? "", /^NAME +STATE +SIZE +DRIVER/);
  assert.match(table[1] ?? "", /^disk +live +1M +memory/);

  const unknown = await bench.run("kill", "dusk");
  assert.equal(unknown.code, 1);
  assert.equal(unknown.stderr, "Cannot kill dusk: there is no such device, one of disk was wanted\n");

  await client.close();
  assert.equal((await bench.run("stop")).code, 0);
  assert.equal((await finished).code, 0);
  assert.deepEqual(bench.leftovers(), []);
});

test("a configuration file's devices are served side by side, on the socket that it names", async () => {
  writeFileSync(
    join(bench.folder, "two.yaml"),
    `devices:
  - { name: one, spec: "memory:1M" }
  - { name: two, spec: "null:2M", readOnly: true, link: inline }
listen: { socket: two.sock }
control: two.control
`,
  );
  const { child, uris, finished } = bench.serve(2, "two.yaml");
  const two = await NbdClient.connect((await uris).two ?? "");
  assert.equal(two.size, 2 << 20);
  assert.equal(two.readOnly, true);
  await two.close();
  assert.equal((await bench.run("status", "--control", "two.control")).code, 0);
  child.kill("SIGTERM");
  assert.equal((await finished).code, 0);
  assert.equal(existsSync(join(bench.folder, "two.sock")), false);
  assert.equal(existsSync(join(bench.folder, "two.control")), false);
});

test("a driver that is stuck is killed after stopTimeoutMs, and the stop says what was not released", async () => {
  const device = "{ name: stuck, spec: ./stuck.mjs, policy: { stopTimeoutMs: 300 } }";
  writeFileSync(join(bench.folder, "stuck.yaml"), `devices:\n  - ${device}\n`);
  const { child, uris, finished } = bench.serve(1, "stuck.yaml");
  const client = await NbdClient.connect((await uris).stuck ?? "");
  const write = client.write(0, new Uint8Array(512));
  const outcome = assert.rejects(write);
  await saying(child, "stuck now");
  child.kill("SIGTERM");
  const { code, stderr } = await finished;
  assert.equal(code, 1);
  assert.match(stderr, /Cannot stop cleanly: stuck: .*did not stop within 300 ms/);
  await outcome;
  assert.deepEqual(bench.leftovers(), []);
});

test("the second signal ends a front at once", async () => {
  const { child, uris, finished } = bench.serve(1, "./stuck.mjs");
  const client = await NbdClient.connect((await uris).stuck ?? "");
  const outcome = assert.rejects(client.write(0, new Uint8Array(512)));
  await saying(child, "stuck now");
  child.kill("SIGINT");
  // What shows that the first one has been taken: new requests are refused.
  await assert.rejects(refusal(client));
  child.kill("SIGINT");
  assert.equal((await finished).code, 1);
  await outcome;
  assert.deepEqual(bench.leftovers(), []);
});

const BAD: [what: string, code: number, message: RegExp, ...arguments_: string[]][] = [
  ["an unknown command", 2, /unknown command 'frob'/, "frob"],
  ["an unknown option", 2, /unknown option '--frob'/, "serve", "memory:1M", "--frob"],
  ["a bad port", 2, /from 0 to 65535/, "serve", "memory:1M", "--port", "65536"],
  ["an unknown driver", 2, /^Cannot serve "frob:1": there is no driver frob/, "serve", "frob:1"],
  ["a driver module that is missing", 2, /^Cannot serve ".\/none.ts": there is no file/, "serve", "./none.ts"],
  ["a configuration file that is missing", 2, /none.yaml/, "serve", "none.yaml"],
  ["a device option beside a configuration file", 2, /--name/, "serve", "none.yaml", "--name", "x"],
  ["a file that is missing", 1, /^Cannot open driver file: .*none.img/, "serve", "file:none.img"],
  ["a driver that throws on open", 1, /^Cannot open driver throws.mjs: no luck/, "serve", "./throws.mjs"],
  ["a folder that isn't there", 1, /^Cannot listen .*none\/x.sock/, "serve", "memory:1M", "--socket", "none/x.sock"],
  ["no front to talk to", 1, /^Cannot find a front: none/, "status"],
  ["a front that isn't there", 1, /^Cannot ask the front at none.sock/, "stop", "--control", "none.sock"],
];

for (const [what, code, message, ...arguments_] of BAD) {
  test(`${what} is said in one line, with exit code ${code}, and nothing is left behind`, async () => {
    const result = await bench.run(...arguments_);
    assert.match(result.stderr, message);
    // What commander says is followed by a hint.
    assert.ok(
      result.stderr.trimEnd().split("\n").length <= (result.stderr.startsWith("error:") ? 2 : 1),
      result.stderr,
    );
    assert.equal(result.code, code);
    assert.deepEqual(bench.leftovers(), []);
  });
}

test("a signal ends a front that is still opening its driver", async () => {
  const { child, finished } = bench.serve(1, "./endless.mjs", "--control", "opening");
  while (!(await bench.run("status", "--control", "opening")).stdout.includes("starting"));
  child.kill("SIGTERM");
  const { code, stderr } = await finished;
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot start endless: it was stopped meanwhile/);
  assert.deepEqual(bench.leftovers(), []);
});

test("a socket that another front listens on is an error that names it", async () => {
  const first = bench.serve(1, "memory:1M", "--socket", "busy.sock", "--control", "busy.control");
  await first.uris;
  const second = await bench.run("serve", "memory:1M", "--socket", "busy.sock");
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^Cannot listen .*busy.sock/);
  const third = await bench.run("serve", "memory:1M", "--control", "busy.control");
  assert.equal(third.code, 1);
  assert.match(third.stderr, /^Cannot listen .*busy.control/);
  first.child.kill("SIGTERM");
  assert.equal((await first.finished).code, 0);
});

/** Resolves when the front's log has `text`. */
function saying(child: ReturnType<typeof bench.serve>["child"], text: string): Promise<void> {
  return new Promise((resolve) => {
    child.stderr?.on("data", (chunk: Buffer) => chunk.includes(text) && resolve());
  });
}

/** Rejects once the front takes nothing new. */
async function refusal(client: NbdClient): Promise<never> {
  for (;;) await client.read(1 << 19, 512);
}
