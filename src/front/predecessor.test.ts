import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { type ProcessId, processId } from "../os/process-id.ts";
import { NotifySocket } from "../service/notify-socket.ts";
import { ServiceManager } from "../service/service-manager.ts";
import { awaitPredecessor, forgetPredecessor, hasEnded, storePredecessor } from "./predecessor.ts";

const LIMIT_MS = 10_000;

test("a front waits for the end of the one that the front before it was taking over from", async (context) => {
  const old = await startedProcess(context);
  const { service, told, next } = frontOf(context);
  storePredecessor(service, old.id);
  const waiting = awaitPredecessor(next(), LIMIT_MS);
  let over = false;
  waiting.then(() => {
    over = true;
  });
  assert.equal(await hasEnded(old.id, 0), false);
  assert.equal(over, false);
  old.end();
  await waiting;
  assert.deepEqual(told().at(-1), { FDSTOREREMOVE: "1", FDNAME: "skink/before" });
});

test("a front doesn't begin where that one goes on", async (context) => {
  const old = await startedProcess(context);
  const { service, next } = frontOf(context);
  storePredecessor(service, old.id);
  await assert.rejects(awaitPredecessor(next(), 0), {
    code: "front-serves",
    message: `Cannot start: the front with pid ${old.id.pid}, which was to hand over, still runs after 0 ms, its end was wanted: stop one of the two`,
  });
});

test("another process with its number is not taken for it", async (context) => {
  const { service, next } = frontOf(context);
  storePredecessor(service, { pid: process.pid, started: 1 });
  await awaitPredecessor(next(), 0);
});

test("who has handed over is waited for by nobody", async (context) => {
  const { service, next, told } = frontOf(context);
  storePredecessor(service, processId(process.pid) as ProcessId);
  forgetPredecessor(service);
  await awaitPredecessor(next(), 0);
  assert.deepEqual(told().at(-1), { FDSTOREREMOVE: "1", FDNAME: "skink/before" });
});

test("where nobody would start this front again, nothing is stored", () => {
  const service = ServiceManager.nobody();
  storePredecessor(service, processId(process.pid) as ProcessId);
  forgetPredecessor(service);
  assert.deepEqual(service.takeAll("skink/before"), []);
});

/** A front under a manager; `next`: the one after it. `told`: what both have told. */
function frontOf(context: TestContext) {
  const told: Record<string, string>[] = [];
  const manager = new NotifySocket(({ fields }) => void told.push(Object.fromEntries(fields)));
  const make = (): ServiceManager => {
    const warn = (message: string): never => assert.fail(message);
    return new ServiceManager({ NOTIFY_SOCKET: manager.name }, process.pid, warn);
  };
  const service = make();
  context.after(() => manager.close());
  const next = (): ServiceManager => {
    const front = make();
    const socket = new NotifySocket(({ fields, descriptors: [fd = -1] }) =>
      front.adopt({ name: fields.get("FDNAME") ?? "", fd }),
    );
    service.offerTo(socket.name);
    socket.receive();
    socket.close();
    return front;
  };
  return {
    service,
    next,
    told: () => {
      manager.receive();
      return told;
    },
  };
}

async function startedProcess(context: TestContext) {
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  context.after(() => child.kill("SIGKILL"));
  return { id: processId(child.pid as number) as ProcessId, end: () => void child.kill("SIGKILL") };
}
