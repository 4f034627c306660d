import { strict as assert } from "node:assert";
import { closeSync, fstatSync, writeSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createReceivingSocket, receiveDatagram } from "../os/datagram.ts";
import { createMemfd } from "../os/memfd.ts";
import { takeInherited } from "./inherited.ts";
import { parseNotification } from "./notification.ts";
import { NotifySocket } from "./notify-socket.ts";
import { ServiceManager } from "./service-manager.ts";

const NAME = `skink-manager-${process.pid}`;
const PID = process.pid;
const STORED = { FDSTORE: "1", FDNAME: "skink/memory", FDPOLL: "0" };

test("the manager is told what happens, in its words", (context) => {
  const manager = new Receiver(context);
  const service = serviceOf(context, manager.environment);
  service.ready("serving disk");
  service.stopping("flushing");
  assert.deepEqual(manager.received(), [
    { READY: "1", STATUS: "serving disk" },
    { STOPPING: "1", STATUS: "flushing" },
  ]);
});

test("a descriptor is stored, unwatched, and forgotten by its name", (context) => {
  const manager = new Receiver(context);
  const service = serviceOf(context, manager.environment);
  const memory = createMemfd("skink-test", 4096);
  assert.equal(service.store("skink/memory", memory), true);
  service.forget("skink/memory");
  assert.deepEqual(manager.received(), [
    { FDSTORE: "1", FDNAME: "skink/memory", FDPOLL: "0" },
    { FDSTOREREMOVE: "1", FDNAME: "skink/memory" },
  ]);
  assert.deepEqual(
    manager.descriptors.map((fd) => fstatSync(fd).ino),
    [fstatSync(memory).ino],
  );
  closeSync(memory);
  assert.throws(() => service.store("a:b", 0), TypeError);
});

test("what is stored is offered to another process, which has it as if its manager had passed it on, and stores it", (context) => {
  const memory = createMemfd("skink-test", 4096);
  const other = createMemfd("skink-test", 4096);
  const old = serviceOf(context, {});
  for (const fd of [memory, other]) old.store("skink/memory", fd);
  old.store("skink/forgotten", memory);
  old.forget("skink/forgotten");
  const manager = new Receiver(context);
  const next = serviceOf(context, manager.environment);
  assert.equal(offer(old, next), 2);
  assert.deepEqual(manager.received(), [STORED, STORED]);
  assert.deepEqual(
    next.inherited.map(({ name }) => name),
    ["skink/memory", "skink/memory"],
  );
  assert.deepEqual(next.takeAll("skink/memory").map(inodeOf), [memory, other].map(inodeOf));
  assert.deepEqual(next.inherited, []);
  assert.deepEqual(next.takeAll("skink/memory"), []);
  // The next but one gets it from that one.
  const last = serviceOf(context, {});
  assert.equal(offer(next, last), 2);
  assert.deepEqual(last.takeAll("skink/memory").map(inodeOf), [memory, other].map(inodeOf));
  for (const fd of [memory, other]) closeSync(fd);
});

test("what was handed over and nobody has taken is not handed on", (context) => {
  const memory = createMemfd("skink-test", 4096);
  const [old, next, last] = [serviceOf(context, {}), serviceOf(context, {}), serviceOf(context, {})];
  old.store("skink/memory", memory);
  offer(old, next);
  assert.equal(offer(next, last), 0);
  closeSync(memory);
});

test("an offer to nobody throws", (context) => {
  const service = serviceOf(context, {});
  assert.equal(service.offerTo(`@${NAME}-none`), 0);
  const memory = createMemfd("skink-test", 4096);
  service.store("skink/memory", memory);
  assert.throws(() => service.offerTo(`@${NAME}-none`), { code: "ECONNREFUSED" });
  assert.throws(() => service.offerTo("/none/such"), { code: "ENOENT" });
  closeSync(memory);
});

test("a manager is told before another process' memory is in this one's hands alone", (context) => {
  const manager = new Receiver(context);
  serviceOf(context, manager.environment).takesOver();
  serviceOf(context, {}).takesOver();
  assert.deepEqual(manager.received(), [{ X_SKINK_TAKES_OVER: "1" }]);
});

test("a manager that says that it keeps nothing is asked to keep nothing", (context) => {
  const manager = new Receiver(context);
  const service = serviceOf(context, { ...manager.environment, FDSTORE: "0" });
  assert.equal(service.canStore, false);
  assert.equal(service.store("skink/memory", 0), false);
  service.forget("skink/memory");
  assert.deepEqual(manager.received(), []);
});

test("without a manager nothing is told, nothing is stored, and nothing goes wrong", (context) => {
  for (const environment of [{}, { NOTIFY_SOCKET: "" }, { NOTIFY_SOCKET: "vsock:2:1234" }]) {
    const service = serviceOf(context, environment);
    service.ready("serving disk");
    assert.equal(service.canStore, false);
    assert.deepEqual(service.inherited, []);
  }
});

test("a manager that is gone is warned of, once", (context) => {
  const warnings: string[] = [];
  const service = new ServiceManager({ NOTIFY_SOCKET: `@${NAME}-none` }, PID, (message) => warnings.push(message));
  context.after(() => service.close());
  assert.equal(service.store("skink/memory", 0), false);
  service.ready("serving disk");
  assert.deepEqual(warnings, ["could not tell the service manager FDSTORE: ECONNREFUSED: sendmsg failed"]);
});

test("a manager that answers is asked, and what it says is what counts", async (context) => {
  const warnings: string[] = [];
  const manager = new Receiver(context);
  const environment = { ...manager.environment, SKINK_ANSWERS: "1" };
  const service = new ServiceManager(environment, PID, (message) => warnings.push(message));
  context.after(() => service.close());
  const memory = createMemfd("skink-test", 4096);
  for (const name of ["skink/kept", "skink/not", "skink/both", "skink/both"]) service.store(name, memory);
  const told = manager.received();
  assert.deepEqual(told[0], { FDSTORE: "1", FDNAME: "skink/kept", FDPOLL: "0", X_SKINK_ANSWER: "1" });
  for (const index of [0, 3]) writeSync(manager.descriptors[2 * index + 1] as number, "stored");
  for (const fd of manager.descriptors.splice(0)) closeSync(fd);
  assert.equal(await service.keeps("skink/kept"), true);
  assert.equal(await service.keeps("skink/not"), false);
  assert.equal(await service.keeps("skink/both"), false);
  // Those that the process was started with are.
  assert.equal(await service.keeps("skink/inherited"), true);
  const lost = (name: string): string =>
    `the service manager does not keep ${name} for the next front: it goes with this one`;
  assert.deepEqual(warnings.sort(), [lost("skink/both"), lost("skink/not")]);
  closeSync(memory);
});

test("a manager that doesn't answer keeps what it has taken note of, up to its limit", async (context) => {
  const warnings: string[] = [];
  const manager = new Receiver(context);
  const environment = { ...manager.environment, FDSTORE: "1" };
  const service = new ServiceManager(environment, PID, (message) => warnings.push(message));
  context.after(() => service.close());
  const memory = createMemfd("skink-test", 4096);
  service.store("skink/first", memory);
  service.store("skink/second", memory);
  const first = service.keeps("skink/first");
  await nextTurn();
  assert.deepEqual(manager.received().at(-1), { BARRIER: "1" });
  for (const fd of manager.descriptors.splice(0)) closeSync(fd);
  assert.equal(await first, true);
  assert.equal(await service.keeps("skink/second"), false);
  assert.equal(warnings.length, 1);
  closeSync(memory);
});

test("a manager that stands still holds up nothing that it need not know at once, and hears all of it in order", async (context) => {
  const manager = new Receiver(context);
  const service = serviceOf(context, manager.environment);
  const names = Array.from({ length: 200 }, (_, index) => `skink/${index}`);
  const start = performance.now();
  for (const name of names) service.forget(name);
  service.stopping("flushing");
  await service.settled();
  const took = performance.now() - start;
  assert.ok(took >= 900 && took < 2500, `${took} ms`);
  const told: Record<string, string>[] = [];
  while (told.length <= names.length) {
    told.push(...manager.received());
    await nextTurn();
  }
  assert.deepEqual(
    told.map(({ FDNAME }) => FDNAME),
    [...names, undefined],
  );
});

test("what has to be known at once comes behind what waits", async (context) => {
  const manager = new Receiver(context);
  const service = serviceOf(context, manager.environment);
  for (let index = 0; index < 20; index++) service.forget(`skink/${index}`);
  const told = manager.received();
  // Room for those that wait and for one more, or not for all: then it waits for its time, and says so.
  service.takesOver();
  told.push(...manager.received());
  assert.deepEqual(Object.keys(told.at(-1) ?? {}), ["X_SKINK_TAKES_OVER"]);
  assert.equal(told.length, 21);
});

test("pings come twice in the watchdog's time", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const manager = new Receiver(context);
  serviceOf(context, { ...manager.environment, WATCHDOG_USEC: "2000000", WATCHDOG_PID: `${PID}` });
  context.mock.timers.tick(999);
  assert.deepEqual(manager.received(), []);
  context.mock.timers.tick(1);
  assert.deepEqual(manager.received(), [{ WATCHDOG: "1" }]);
  context.mock.timers.tick(3000);
  assert.equal(manager.received().length, 3);
});

test("a watchdog for another process gets no pings", (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const manager = new Receiver(context);
  serviceOf(context, { ...manager.environment, WATCHDOG_USEC: "2000", WATCHDOG_PID: `${PID + 1}` });
  context.mock.timers.tick(1000);
  assert.deepEqual(manager.received(), []);
});

test("a manager that doesn't read its pings holds nothing up", (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const manager = new Receiver(context);
  const warnings: string[] = [];
  const environment = { ...manager.environment, WATCHDOG_USEC: "2000" };
  const service = new ServiceManager(environment, PID, (message) => warnings.push(message));
  context.after(() => service.close());
  context.mock.timers.tick(1000);
  assert.deepEqual(warnings, []);
  assert.ok(manager.received().length > 0);
});

test("what is for this process alone is not left to its children", (context) => {
  const environment: NodeJS.ProcessEnv = {
    NOTIFY_SOCKET: `@${NAME}`,
    WATCHDOG_USEC: "1000000",
    WATCHDOG_PID: `${PID}`,
    FDSTORE: "5",
    LISTEN_PID: `${PID}`,
    LISTEN_FDS: "0",
    LISTEN_FDNAMES: "",
    HOME: "/root",
  };
  serviceOf(context, environment);
  assert.deepEqual(environment, { HOME: "/root" });
});

test("descriptors of another process' environment are none", () => {
  assert.deepEqual(takeInherited({ LISTEN_PID: `${PID + 1}`, LISTEN_FDS: "1" }, PID), []);
  assert.deepEqual(takeInherited({ LISTEN_FDS: "1" }, PID), []);
});

test("descriptors that are not there are an error in one line", () => {
  const environment = { LISTEN_PID: `${PID}`, LISTEN_FDS: "99999" };
  const found = /^Cannot take descriptors from the service manager: descriptor \d+ of 99999 is not there, [^\n]*$/;
  assert.throws(() => takeInherited(environment, PID), { code: "bad-environment", message: found });
  const odd = { LISTEN_PID: `${PID}`, LISTEN_FDS: "-1" };
  assert.throws(() => takeInherited(odd, PID), { code: "bad-environment", message: /LISTEN_FDS is "-1"/ });
});

/** The other side of it all. */
class Receiver {
  readonly environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: `@${NAME}` };
  /** Those that came along so far. */
  readonly descriptors: number[] = [];
  readonly #fd = createReceivingSocket(`\0${NAME}`);

  constructor(context: TestContext) {
    context.after(() => {
      for (const fd of [this.#fd, ...this.descriptors]) closeSync(fd);
    });
  }

  received(): Record<string, string>[] {
    const all: Record<string, string>[] = [];
    for (;;) {
      const datagram = receiveDatagram(this.#fd);
      if (datagram === undefined) return all;
      this.descriptors.push(...datagram.descriptors);
      all.push(Object.fromEntries(parseNotification(datagram.bytes) ?? []));
    }
  }
}

/** Has one offer to the other what it stores. How many there were. */
function offer(from: ServiceManager, to: ServiceManager): number {
  const socket = new NotifySocket(({ pid, fields, descriptors: [fd = -1] }) => {
    assert.equal(pid, PID);
    to.adopt({ name: fields.get("FDNAME") ?? "", fd });
  });
  const count = from.offerTo(socket.name);
  socket.receive();
  socket.close();
  return count;
}

function inodeOf(fd: number): number {
  return fstatSync(fd).ino;
}

function serviceOf(context: TestContext, environment: NodeJS.ProcessEnv): ServiceManager {
  const warn = (message: string): never => assert.fail(message);
  const service = new ServiceManager(environment, PID, warn);
  context.after(() => service.close());
  return service;
}
