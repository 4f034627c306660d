import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { FakeDevice, submitted } from "../server/testing.ts";
import { NbdClient } from "./client.ts";
import type { NbdClientOptions } from "./options.ts";
import type { Reconnection } from "./reconnector.ts";
import { haggleAsServer, MIB, type Place, plainAnswers, requestsIn, scripted, served, simpleReply } from "./testing.ts";

const QUICK = { delayMs: 1, maxDelayMs: 4, attempts: 1000 };

/** A client that reconnects, and what it tells of that. */
async function persistent(place: Place, options: NbdClientOptions = {}) {
  const reconnections: Reconnection[] = [];
  let heard: (() => void) | undefined;
  const onReconnect = (reconnection: Reconnection) => {
    reconnections.push(reconnection);
    heard?.();
  };
  const client = await place.connect({ ...options, reconnect: { ...QUICK, ...options.reconnect, onReconnect } });
  const reconnected = () =>
    new Promise<void>((resolve) => {
      heard = resolve;
    });
  return { client, reconnections, reconnected };
}

test("without the option, a lost connection is the end of it", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  await place.stop();
  await assert.rejects(client.read(0, 512), { code: "disconnected" });
  await place.serve();
  await assert.rejects(client.read(0, 512), { code: "disconnected" });
});

test("requests without a reply, waiting or made meanwhile are answered by the next server", async (context) => {
  const place = await served(context);
  const { client, reconnections } = await persistent(place, { maxRequests: 2 });
  place.device.held = true;
  const two = submitted(place.device, 2);
  const write = client.write(0, new Uint8Array(512).fill(1));
  const extents = client.blockStatus(0, 4096);
  const waiting = client.write(512, new Uint8Array(512).fill(2));
  await two;
  place.device.pending.length = 0;
  await place.stop();
  const meanwhile = client.read(0, 1024);
  await place.serve();
  await Promise.all([write, waiting, meanwhile]);
  assert.equal((await extents).length, 1);
  assert.deepEqual(await client.read(0, 1024), new Uint8Array(1024).fill(1, 0, 512).fill(2, 512));
  assert.equal(reconnections.length, 1);
  assert.deepEqual([reconnections[0]?.reissued, reconnections[0]?.cause.code], [2, "disconnected"]);
  await client.close();
});

test("a read that was answered in part is answered anew", async (context) => {
  let connections = 0;
  const target = await scripted(context, (socket) => {
    const first = ++connections === 1;
    haggleAsServer(socket, plainAnswers, (bytes) => {
      socket.write(simpleReply(bytes, 0, Buffer.alloc(first ? 100_000 : 200_000, connections)));
      if (first) socket.end();
    });
  });
  const client = await NbdClient.connect(target, { reconnect: QUICK });
  assert.deepEqual(await client.read(0, 200_000), new Uint8Array(200_000).fill(2));
  client.destroy();
});

test("an aborted request is not issued again", async (context) => {
  const place = await served(context);
  const { client, reconnections } = await persistent(place);
  place.device.held = true;
  const two = submitted(place.device, 2);
  const abort = new AbortController();
  const aborted = client.write(0, new Uint8Array(512).fill(1), { signal: abort.signal });
  const kept = client.read(512, 512);
  await two;
  place.device.pending.length = 0;
  await place.stop();
  abort.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  place.device.log.length = 0;
  await place.serve();
  await kept;
  assert.deepEqual(place.device.log, ["read 512+512"]);
  assert.equal(reconnections[0]?.reissued, 1);
  await client.close();
});

test("what a server that shuts down refuses is for the next one, once the rest is answered", async (context) => {
  const place = await served(context);
  const { client } = await persistent(place);
  place.device.held = true;
  const one = submitted(place.device, 1);
  const write = client.write(0, new Uint8Array(512).fill(4));
  await one;
  const down = place.shutDown();
  const refused = client.read(0, 512);
  setImmediate(() => {
    place.device.held = false;
    place.device.answerAll();
  });
  await Promise.all([write, down]);
  await place.serve();
  assert.deepEqual(await refused, new Uint8Array(512).fill(4));
  await client.close();
});

test("a server that answers ESHUTDOWN and stays is left for another one", async (context) => {
  let connections = 0;
  const target = await scripted(context, (socket) => {
    const error = ++connections === 1 ? ERRNO.ESHUTDOWN : 0;
    haggleAsServer(socket, plainAnswers, (bytes) => {
      for (const { bytes: request } of requestsIn(bytes)) socket.write(simpleReply(request, error));
    });
  });
  const client = await NbdClient.connect(target, { reconnect: QUICK });
  await Promise.all([client.flush(), client.flush()]);
  assert.equal(connections, 2);
  client.destroy();
});

test("acknowledged writes that no flush has covered are told of", async (context) => {
  const place = await served(context);
  const { client, reconnections, reconnected } = await persistent(place);
  const restart = async (): Promise<void> => {
    const again = reconnected();
    await place.stop();
    await place.serve();
    await again;
  };
  await restart();
  await client.write(0, new Uint8Array(512), { fua: true });
  await restart();
  await client.write(0, new Uint8Array(512));
  await restart();
  await client.flush();
  await restart();
  assert.deepEqual(
    reconnections.map(({ unflushed }) => unflushed),
    [false, false, true, false],
  );
  await client.close();
});

test("an export that has grown is the same, one that has shrunk or changed is not", async (context) => {
  const place = await served(context);
  const { client, reconnected } = await persistent(place);
  const again = reconnected();
  await place.stop();
  await place.serve(new FakeDevice({ size: 65 * MIB }));
  await again;
  assert.equal(client.size, 65 * MIB);
  await client.read(64 * MIB, 512);
  await place.stop();
  const waiting = client.read(0, 512);
  await place.serve(new FakeDevice({ size: 64 * MIB }));
  await assert.rejects(waiting, { code: "changed-export", message: /its size is 67108864 bytes, and was 68157440/ });
  await assert.rejects(client.read(0, 512), { code: "changed-export" });
  await client.close();

  const other = await persistent(place);
  await place.stop();
  await place.serve(new FakeDevice({ size: 64 * MIB, blockSize: 4096 }));
  await assert.rejects(other.client.read(0, 4096), { code: "changed-export" });

  const third = await persistent(place);
  await place.stop();
  await place.serve(new FakeDevice({ size: 64 * MIB, blockSize: 4096, readOnly: true }));
  await assert.rejects(third.client.read(0, 4096), { code: "changed-export" });
});

test("a server that does not come back is given up after the last attempt", async (context) => {
  const place = await served(context);
  const { client } = await persistent(place, { reconnect: { attempts: 3 } });
  await place.stop();
  await assert.rejects(client.read(0, 512), { code: "disconnected", message: /after 3 attempts/ });
  assert.equal(client.connected, false);
  await client.close();
});

test("a request that ends each server is given up, and the others are answered", async (context) => {
  const target = await scripted(context, (socket) => {
    haggleAsServer(socket, plainAnswers, (bytes) => {
      for (const { bytes: request, header } of requestsIn(bytes)) {
        if (header.offset === 512) setImmediate(() => socket.destroy());
        else socket.write(simpleReply(request, 0, new Uint8Array(header.length)));
      }
    });
  });
  const client = await NbdClient.connect(target, { reconnect: { ...QUICK, attempts: 4 } });
  let isOver = false;
  let answered = 0;
  const others = async (): Promise<void> => {
    for (; !isOver; answered++) await client.read(0, 512);
  };
  const other = others();
  await assert.rejects(client.read(512, 512), { code: "disconnected", message: /lost 5 times with this request/ });
  isOver = true;
  await other;
  assert(answered >= 4, "each connection has answered something");
  client.destroy();
});

test("a server that breaks the protocol is not asked again", async (context) => {
  let connections = 0;
  const target = await scripted(context, (socket) => {
    connections++;
    haggleAsServer(socket, plainAnswers, () => socket.write(Buffer.alloc(64, "garbage")));
  });
  const client = await NbdClient.connect(target, { reconnect: QUICK });
  await assert.rejects(client.read(0, 512), { code: "bad-server" });
  await assert.rejects(client.read(0, 512), { code: "bad-server" });
  assert.equal(connections, 1);
  await client.close();
});

test("a client that is closed while it reconnects is still answered, if it waits for something", async (context) => {
  const place = await served(context);
  const { client } = await persistent(place);
  await place.stop();
  const read = client.read(0, 512);
  const closing = client.close();
  await assert.rejects(client.flush(), { code: "disconnected" });
  await place.serve();
  assert.equal((await read).length, 512);
  await closing;
});

test("a client that is closed or destroyed while it reconnects, and waits for nothing, is gone at once", async (context) => {
  const place = await served(context);
  const [idle, busy] = [await persistent(place), await persistent(place)];
  await place.stop();
  const read = assert.rejects(busy.client.read(0, 512), { code: "disconnected" });
  // The connection's end has to have come here.
  while (idle.client.connected || busy.client.connected) await new Promise((resolve) => setImmediate(resolve));
  await idle.client.close();
  busy.client.destroy();
  await read;
  await busy.client.close();
  assert.equal(idle.reconnections.length + busy.reconnections.length, 0);
});

test("a connection whose server has hung is made again, where there is a time limit for replies", async (context) => {
  let connections = 0;
  const hung = Promise.withResolvers<void>();
  const target = await scripted(context, (socket) => {
    const answers = ++connections > 1;
    haggleAsServer(socket, plainAnswers, (bytes) => {
      if (answers) socket.write(simpleReply(bytes, 0));
      else hung.resolve();
    });
  });
  const client = await NbdClient.connect(target, { reconnect: QUICK, replyTimeoutMs: 250 });
  await client.flush();
  await hung.promise;
  assert.equal(connections, 2);
  client.destroy();
});
