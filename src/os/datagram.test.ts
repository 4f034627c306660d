import { strict as assert } from "node:assert";
import { closeSync, fstatSync, mkdtempSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { onArrival } from "./arrivals.ts";
import {
  createReceivingSocket,
  createSendingSocket,
  MAX_DATAGRAM_BYTES,
  MAX_DESCRIPTORS_PER_DATAGRAM,
  receiveDatagram,
  sendDatagram,
} from "./datagram.ts";
import { createMemfd } from "./memfd.ts";

/** A test's own: no other process picks it. */
const PATH = `\0skink-test-${process.pid}`;
const HELLO = Buffer.from("hello");

test("a datagram arrives whole, with the process that sent it and nothing else", (context) => {
  const { sender, receiver } = pair(context);
  sendDatagram(sender, PATH, HELLO);
  assert.deepEqual(receiveDatagram(receiver), {
    bytes: Uint8Array.from(HELLO),
    descriptors: [],
    pid: process.pid,
    truncated: false,
  });
  assert.equal(receiveDatagram(receiver), undefined);
});

test("a descriptor that is passed is the same file, and outlives the sender's", (context) => {
  const { sender, receiver } = pair(context);
  const memory = createMemfd("skink-test", 4096);
  const { ino } = fstatSync(memory);
  sendDatagram(sender, PATH, HELLO, [memory, memory, memory]);
  closeSync(memory);
  const { descriptors } = receiveDatagram(receiver) ?? { descriptors: [] };
  assert.equal(descriptors.length, 3);
  for (const fd of descriptors) {
    assert.equal(fstatSync(fd).ino, ino);
    assert.equal(writeSync(fd, HELLO, 0, HELLO.length, 0), HELLO.length);
    closeSync(fd);
  }
});

test("as many descriptors pass as the kernel takes, and one more is an error", (context) => {
  const { sender, receiver } = pair(context);
  const many = new Array<number>(MAX_DESCRIPTORS_PER_DATAGRAM).fill(sender);
  sendDatagram(sender, PATH, HELLO, many);
  const got = receiveDatagram(receiver);
  assert.equal(got?.descriptors.length, MAX_DESCRIPTORS_PER_DATAGRAM);
  assert.equal(got?.truncated, false);
  for (const fd of got?.descriptors ?? []) closeSync(fd);
  assert.throws(() => sendDatagram(sender, PATH, HELLO, [...many, sender]), { code: "EINVAL" });
});

test("what is too long comes cut, and says so; its descriptors come along", (context) => {
  const { sender, receiver } = pair(context);
  sendDatagram(sender, PATH, new Uint8Array(MAX_DATAGRAM_BYTES + 1), [sender]);
  const got = receiveDatagram(receiver);
  assert.equal(got?.truncated, true);
  assert.equal(got?.bytes.length, MAX_DATAGRAM_BYTES);
  assert.equal(got?.descriptors.length, 1);
  for (const fd of got?.descriptors ?? []) closeSync(fd);
});

test("a full queue is EAGAIN, at once for who doesn't wait and after its time for who does", (context) => {
  const { sender } = pair(context);
  assert.throws(
    () => {
      for (;;) sendDatagram(sender, PATH, HELLO, [], false);
    },
    { code: "EAGAIN" },
  );
  assert.throws(() => sendDatagram(sender, PATH, HELLO), { code: "EAGAIN" });
});

test("nobody at an address is an error with its name, and so is one that is too long", (context) => {
  const { sender } = pair(context);
  assert.throws(() => sendDatagram(sender, `${PATH}-none`, HELLO), { code: "ECONNREFUSED" });
  assert.throws(() => sendDatagram(sender, "/nowhere/at/all", HELLO), { code: "ENOENT" });
  assert.throws(() => sendDatagram(sender, `/${"x".repeat(107)}`, HELLO), RangeError);
});

test("a path serves as well as an abstract name", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "skink-datagram-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "notify");
  const { sender, receiver } = pair(context, path);
  sendDatagram(sender, path, HELLO);
  assert.deepEqual(receiveDatagram(receiver)?.bytes, Uint8Array.from(HELLO));
});

test("an arrival is told of, also one before anybody looked, until nobody wants to know", async (context) => {
  const { sender, receiver } = pair(context);
  let got = 0;
  let heard = Promise.withResolvers<void>();
  const arrival = async (count: number): Promise<void> => {
    while (got < count) await heard.promise;
  };
  sendDatagram(sender, PATH, HELLO);
  const stop = onArrival(receiver, () => {
    while (receiveDatagram(receiver) !== undefined) got++;
    heard.resolve();
    heard = Promise.withResolvers();
  });
  // Signals don't keep a process alive.
  const awake = setInterval(() => {}, 1000);
  context.after(() => clearInterval(awake));
  await arrival(1);
  for (let round = 2; round <= 20; round += 2) {
    sendDatagram(sender, PATH, HELLO);
    sendDatagram(sender, PATH, HELLO);
    await arrival(round + 1);
  }
  stop();
  sendDatagram(sender, PATH, HELLO);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(got, 21);
});

function pair(context: TestContext, path = PATH): { sender: number; receiver: number } {
  const sender = createSendingSocket(20);
  const receiver = createReceivingSocket(path);
  context.after(() => {
    closeSync(sender);
    closeSync(receiver);
  });
  return { sender, receiver };
}
