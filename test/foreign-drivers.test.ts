/** Foreign servers keep what drivers promise. */
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { testDriver } from "../src/drivers/compliance.ts";
import { parseSpec } from "../src/front/spec.ts";
import { NbdIncarnations } from "../src/link/nbd/nbd.ts";
import { createHeapArenas } from "../src/link/shared-arenas.ts";
import { linkDriver } from "../src/link/testing/link-driver.ts";
import { Recorder } from "../src/link/testing/recorder.ts";
import { peer } from "./peers.ts";
import { listens } from "./remote-server.ts";
import { until, within } from "./until.ts";

const LISTEN_TIMEOUT_MS = 5000;

const driver = linkDriver(({ spec = "" }, ports) => {
  const { source } = parseSpec(spec);
  if (source.type === "module") throw new Error(`${spec} is no server`);
  return new NbdIncarnations({ sourceOf: () => source, wantsWrites: true, output: () => {}, ...ports });
});

describe("behind the link nbd", { skip: peer("nbdkit", "qemu-nbd", "qemu-img") }, () => {
  testDriver({
    name: "nbdkit file",
    driver,
    options: (t) => ({ spec: `exec:nbdkit -f -U {socket} file ${rawImage(t)}` }),
    outlives: "flushed",
  });
  testDriver({
    name: "nbdkit file, with a cache in between,",
    driver,
    // The cache lets the extents of the file below through, which know nothing of what it holds back.
    options: (t) => ({ spec: `exec:nbdkit -f -U {socket} --filter=noextents --filter=cache file ${rawImage(t)}` }),
    outlives: "flushed",
  });
  testDriver({
    name: "qemu-nbd with qcow2",
    driver,
    options: (t) => ({ spec: `exec:qemu-nbd -t -f qcow2 --cache=writeback -k {socket} ${image(t, "qcow2")}` }),
    outlives: "flushed",
  });
  testDriver({
    name: "remote nbdkit",
    driver,
    options: async (t) => ({ spec: `nbd+unix:///?socket=${await remote(t)}` }),
    outlives: "flushed",
  });
});

test("a remote server is left although something was not sent to it yet", {
  skip: peer("nbdkit", "qemu-img"),
}, async (t) => {
  const target = { address: { path: await remote(t) }, name: "" };
  const source = { type: "server", target, connections: 2, settleMs: undefined } as const;
  const events = new Recorder();
  const memory = createHeapArenas({ writeBytes: 0, readBytes: 0 });
  const incarnations = new NbdIncarnations({
    sourceOf: () => source,
    wantsWrites: true,
    memory,
    events,
    output: () => {},
  });
  incarnations.start(1, { kind: "nbdkit" });
  const { link } = await events.seen("opened", 1);
  link.submit(1, "flush", 0, 0, 0, 0);
  incarnations.kill(1);
  await within("the end of the incarnation", LISTEN_TIMEOUT_MS, events.seen("exited", 1));
  assert.deepEqual(events.story(), ["opened 1", "exited 1"]);
  incarnations.dispose();
});

/** What a test makes is gone with it. */
function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skink-foreign-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function image(t: TestContext, format: "raw" | "qcow2"): string {
  const path = join(folderOf(t), "disk.img");
  execFileSync("qemu-img", ["create", "-q", "-f", format, path, "8M"]);
  return path;
}

function rawImage(t: TestContext): string {
  return image(t, "raw");
}

/** Starts a server that isn't Skink's, and returns its socket. */
async function remote(t: TestContext): Promise<string> {
  const disk = rawImage(t);
  const socket = `${disk}.sock`;
  const server = spawn("nbdkit", ["-f", "-U", socket, "file", disk], { stdio: "ignore" });
  t.after(async () => {
    const ended = once(server, "exit");
    server.kill("SIGKILL");
    await ended;
  });
  await until("the server to listen", LISTEN_TIMEOUT_MS, async () => ((await listens(socket)) ? true : undefined));
  return socket;
}
