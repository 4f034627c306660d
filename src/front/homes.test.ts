import { strict as assert } from "node:assert";
import { closeSync, fstatSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { MIN_ARENA_BYTES } from "../link/arena.ts";
import { createMemfd } from "../os/memfd.ts";
import { storedName } from "../service/names.ts";
import { NotifySocket } from "../service/notify-socket.ts";
import { ServiceManager } from "../service/service-manager.ts";
import { GEOMETRY } from "../shadow/testing.ts";
import { type DeviceMemory, type MemoryOrder, openMemory, refuseUnclaimed } from "./homes.ts";
import { silentLog } from "./log.ts";

const NAME = "disk 1";
const WRITES = storedName("writes", NAME);
const LEDGER = storedName("ledger", NAME);
const STORE = { geometry: GEOMETRY, epoch: 7, kind: "memory" };

test("what a front has left in shm is found by the next one, again and again", async (context) => {
  const keeper = new Keeper(context);
  const first = openMemory(orderOf(keeper.nextFront()));
  const { home, remains, lastEpoch } = await first.open();
  assert.equal(remains, undefined);
  assert.equal(lastEpoch, 0);
  home?.remember(STORE);
  assert.deepEqual(keeper.names, [WRITES, LEDGER]);
  for (let life = 0; life < 2; life++) {
    const next = await openMemory(orderOf(keeper.nextFront())).open();
    assert.equal(next.lastEpoch, STORE.epoch);
    assert.deepEqual(next.remains?.pieces, []);
    assert.deepEqual(keeper.names, [WRITES, LEDGER]);
  }
});

test("a clean end leaves nothing in shm, another one everything", async (context) => {
  const keeper = new Keeper(context);
  const first = openMemory(orderOf(keeper.nextFront()));
  await first.open();
  await first.close(false);
  assert.deepEqual(keeper.names, [WRITES, LEDGER]);
  const next = openMemory(orderOf(keeper.nextFront()));
  await next.open();
  await next.close(true);
  assert.deepEqual(keeper.names, []);
});

test("memory without a ledger has never held an acknowledged write: both are made anew", async (context) => {
  const keeper = new Keeper(context);
  await opened(keeper);
  keeper.lose(LEDGER);
  const before = keeper.inode(WRITES);
  const { remains } = await openMemory(orderOf(keeper.nextFront())).open();
  assert.equal(remains, undefined);
  assert.deepEqual(keeper.names, [WRITES, LEDGER]);
  assert.notEqual(keeper.inode(WRITES), before);
});

test("a ledger without its memory, or of another front's limits, is refused before anything is lost", async (context) => {
  const keeper = new Keeper(context);
  await opened(keeper);
  const refused = (limits: MemoryOrder["limits"], code: string, message: RegExp): void => {
    assert.throws(() => openMemory(orderOf(keeper.nextFront(), limits)), { code, message });
    assert.deepEqual(keeper.names, [WRITES, LEDGER]);
  };
  refused({ writeBytes: 2 * MIN_ARENA_BYTES }, "kept-memory", /it has \d+ bytes, \d+ are wanted by the limits of now$/);
  refused({ pieces: 1 << 20 }, "ledger-mismatch", /for 65536 pieces, 1048576 are wanted by the limits of now$/);
  // A ledger has room for fewer.
  openMemory(orderOf(keeper.nextFront(), { pieces: 1000 }));
  keeper.lose(WRITES);
  const incomplete =
    /^Cannot take up the shadow of disk 1: its ledger was kept, the memory that it is of was not, both/;
  assert.throws(() => openMemory(orderOf(keeper.nextFront())), { code: "kept-memory", message: incomplete });
  assert.deepEqual(keeper.names, [LEDGER]);
});

test("what is kept as a ledger and is none is refused", async (context) => {
  const keeper = new Keeper(context);
  await opened(keeper);
  keeper.lose(LEDGER);
  keeper.put(LEDGER, createMemfd("skink-ledger", 1 << 20));
  assert.throws(() => openMemory(orderOf(keeper.nextFront())), { code: "ledger-damaged" });
});

test("nothing is served from shm where nobody keeps it", () => {
  const message = /^Cannot keep the shadow of disk 1 in shm: nobody keeps it [^\n]*--guard[^\n]* was wanted$/;
  assert.throws(() => openMemory(orderOf(ServiceManager.nobody())), { code: "no-keeper", message });
});

test("a shadow that no device of the configuration has is not passed over in silence", async (context) => {
  const keeper = new Keeper(context);
  await opened(keeper);
  const front = keeper.nextFront();
  assert.throws(() => refuseUnclaimed(front), {
    code: "unclaimed-shadow",
    message: /^Cannot serve without the shadow of another device: [^\n]*\(skink\/ledger\/disk%201\)/,
  });
  openMemory(orderOf(front));
  assert.doesNotThrow(() => refuseUnclaimed(front));
  keeper.lose(LEDGER);
  assert.doesNotThrow(() => refuseUnclaimed(keeper.nextFront()));
});

/** What a guard does, and fronts that die. */
class Keeper {
  #stored: { readonly name: string; readonly fd: number }[] = [];
  readonly #socket: NotifySocket;
  readonly #context: TestContext;

  constructor(context: TestContext) {
    this.#context = context;
    this.#socket = new NotifySocket(({ fields, descriptors }) => {
      const name = fields.get("FDNAME") ?? "";
      if (fields.get("FDSTORE") === "1") for (const fd of descriptors) this.put(name, fd);
      else for (const fd of descriptors) closeSync(fd);
      if (fields.get("FDSTOREREMOVE") === "1") this.#forget(name);
    });
    context.after(() => {
      for (const name of this.names) this.lose(name);
      this.#socket.close();
    });
  }

  get names(): string[] {
    this.#socket.receive();
    return this.#stored.map(({ name }) => name);
  }

  /** One that finds what is kept: descriptors of its own. */
  nextFront(): ServiceManager {
    this.#socket.receive();
    const warn = (message: string): never => assert.fail(message);
    const service = new ServiceManager({ NOTIFY_SOCKET: this.#socket.name }, process.pid, warn);
    this.#context.after(() => service.close());
    const socket = new NotifySocket(({ fields, descriptors }) => {
      for (const fd of descriptors) service.adopt({ name: fields.get("FDNAME") ?? "", fd });
    });
    const messenger = ServiceManager.nobody();
    for (const { name, fd } of this.#stored) messenger.store(name, fd);
    messenger.offerTo(socket.name);
    socket.receive();
    socket.close();
    return service;
  }

  /** What it has already, it doesn't keep twice. */
  put(name: string, fd: number): void {
    const known = this.#stored.some((stored) => stored.name === name && fstatSync(stored.fd).ino === fstatSync(fd).ino);
    if (known) closeSync(fd);
    else this.#stored.push({ name, fd });
  }

  lose(name: string): void {
    this.#socket.receive();
    this.#forget(name);
  }

  #forget(name: string): void {
    for (const stored of this.#stored) if (stored.name === name) closeSync(stored.fd);
    this.#stored = this.#stored.filter((stored) => stored.name !== name);
  }

  inode(name: string): number {
    this.#socket.receive();
    const { fd } = this.#stored.find((stored) => stored.name === name) ?? { fd: -1 };
    return fstatSync(fd).ino;
  }
}

async function opened(keeper: Keeper): Promise<DeviceMemory> {
  const memory = openMemory(orderOf(keeper.nextFront()));
  await memory.open();
  return memory;
}

function orderOf(service: ServiceManager, limits?: MemoryOrder["limits"]): MemoryOrder {
  return { name: NAME, link: undefined, limits, home: { kind: "shm" }, service, log: silentLog };
}
