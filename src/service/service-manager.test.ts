import { strict as assert } from "node:assert";
import { closeSync, fstatSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { createReceivingSocket, receiveDatagram } from "../os/datagram.ts";
import { createMemfd } from "../os/memfd.ts";
import { takeInherited } from "./inherited.ts";
import { parseNotification } from "./notification.ts";
import { ServiceManager } from "./service-manager.ts";

const NAME = `skink-manager-${process.pid}`;
const PID = process.pid;

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

function serviceOf(context: TestContext, environment: NodeJS.ProcessEnv): ServiceManager {
  const warn = (message: string): never => assert.fail(message);
  const service = new ServiceManager(environment, PID, warn);
  context.after(() => service.close());
  return service;
}
