/** TLS on real sockets; what is said before it starts has its tests with the handshake. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { after, type TestContext, test } from "node:test";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import { makeCertificates, pickCertificates, revokeClient } from "../../../test/certificates.ts";
import { peer } from "../../../test/peers.ts";
import { realClock } from "../../front/clock.ts";
import { hungUp } from "../../os/poll.ts";
import { NbdClient } from "../client/client.ts";
import { loadClientTls } from "../tls/client-tls.ts";
import { loadServerTls, type TlsSettings } from "../tls/server-tls.ts";
import { type Address, formatUri, type TlsParameters } from "../uri.ts";
import { encodeClientFlags, GREETING_BYTES } from "../wire/greeting.ts";
import { OPTION_REPLY_HEADER_BYTES } from "../wire/option-replies.ts";
import { encodeOption } from "../wire/options.ts";
import { OPTION } from "../wire/protocol.ts";
import { MAX_PINNED_BYTES } from "./limits.ts";
import { NbdServer, type NbdServerOptions } from "./server.ts";
import { conversation, FakeDevice, oneExport, submitted } from "./testing.ts";

const KIB = 1024;
const MIB = KIB * KIB;
const CLIENT_FLAGS = encodeClientFlags({ fixedNewstyle: true, noZeroes: true });
const STARTTLS = encodeOption(OPTION.STARTTLS, new Uint8Array(0));

const scratch = mkdtempSync(join(tmpdir(), "skink-tls-"));
after(() => rmSync(scratch, { recursive: true }));
const pskFile = join(scratch, "keys.psk");
writeFileSync(pskFile, `alice:${randomBytes(32).toString("hex")}\nbob:${randomBytes(16).toString("hex")}\n`);
const otherPskFile = join(scratch, "other.psk");
writeFileSync(otherPskFile, `alice:${randomBytes(32).toString("hex")}\ncarol:${randomBytes(32).toString("hex")}\n`);
const ALICE: TlsParameters = { username: "alice", pskFile };

const withCertificates = { skip: peer("certtool") };
const pki = withCertificates.skip === false ? makeCertificates(join(scratch, "pki")) : scratch;

interface Bench {
  readonly device: FakeDevice;
  readonly server: NbdServer;
  readonly address: Address;
  readonly warnings: string[];
  connect(tls: TlsParameters): Promise<NbdClient>;
}

/** A device served with TLS, over a unix socket if no other address is given, taken down after the test. */
async function serve(
  context: TestContext,
  settings: Partial<TlsSettings> = { psk: pskFile },
  options: Partial<NbdServerOptions> = {},
  at: Address = { path: join(mkdtempSync(join(scratch, "run-")), "x.sock") },
): Promise<Bench> {
  const device = new FakeDevice({ size: 64 * MIB });
  const warnings: string[] = [];
  const tls = loadServerTls({ mode: "required", ...settings });
  const log = { info: () => {}, warn: (message: string) => warnings.push(message), error: () => {} };
  const server = new NbdServer({ exports: oneExport(device), clock: realClock, hungUp, tls, log, ...options });
  const address = await server.listen(at);
  context.after(() => server.close(0));
  return {
    device,
    server,
    address,
    warnings,
    connect: (tls) => NbdClient.connect(formatUri({ address, name: "disk", tls })),
  };
}

/** A client that has read the server's greeting, and says bytes of its own. */
async function rawClient(address: Address): Promise<Socket> {
  const socket = connect({ ...address });
  socket.on("error", () => {});
  await read(socket, GREETING_BYTES);
  return socket;
}

/** A client that has asked for TLS, has been told that it may, and has begun nothing. */
async function askedForTls(address: Address): Promise<Socket> {
  const socket = await rawClient(address);
  socket.write(Buffer.concat([CLIENT_FLAGS, STARTTLS]));
  const reply = await read(socket, OPTION_REPLY_HEADER_BYTES);
  assert.equal(reply.readUInt32BE(12), 1, "STARTTLS was not answered by ACK");
  return socket;
}

/** A client with TLS. */
async function secureClient(address: Address, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = tlsConnect({ ...options, socket: await askedForTls(address) });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}

async function read(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const bytes: Buffer | null = socket.read(count);
    if (bytes !== null) return bytes;
    assert.ok(!socket.readableEnded && !socket.destroyed, "the server has closed the connection");
    await once(socket, "readable");
  }
}

/** Everything that still comes, until the connection is closed. */
async function rest(socket: Socket): Promise<Buffer> {
  const bytes: Buffer[] = [];
  socket.on("data", (some: Buffer) => bytes.push(some));
  // Not `once`: an error before the end is an end, too.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(bytes);
}

async function untilEmpty(server: NbdServer): Promise<void> {
  while (server.connections > 0) await turns(1);
}

/** Of the event loop. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function goesThereAndBack(client: NbdClient): Promise<void> {
  const data = randomBytes(8 * MIB);
  await client.write(MIB, data);
  assert.equal(Buffer.compare(await client.read(MIB, data.length), data), 0);
  await client.flush();
  await client.close();
}

for (const [name, at] of [
  ["a unix socket", undefined],
  ["an abstract socket", { path: `\0skink-test-${process.pid}` }],
  ["TCP", { host: "127.0.0.1", port: 0 }],
] as const) {
  test(`rule 13: pre-shared keys, over ${name}`, async (context) => {
    const { connect: open } = await serve(context, { psk: pskFile }, {}, at);
    await goesThereAndBack(await open(ALICE));
  });
}

test(
  "rule 13: certificates, for the host of an address and for a name that is given",
  withCertificates,
  async (context) => {
    const overTcp = await serve(context, { certificates: pki }, {}, { host: "127.0.0.1", port: 0 });
    await goesThereAndBack(await overTcp.connect({ certificates: pki }));
    await goesThereAndBack(await overTcp.connect({ certificates: pki, hostname: "localhost" }));
    await assert.rejects(overTcp.connect({ certificates: pki, hostname: "elsewhere.example" }), { code: "tls-failed" });
    await goesThereAndBack(await overTcp.connect({ certificates: pki, hostname: "elsewhere", verifyPeer: false }));
    const overUnix = await serve(context, { certificates: pki });
    await goesThereAndBack(await overUnix.connect({ certificates: pki }));
    await assert.rejects(overUnix.connect({ certificates: pki, hostname: "elsewhere.example" }), {
      code: "tls-failed",
    });
  },
);

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  const only: ConnectionOptions = { minVersion: version, maxVersion: version };

  test(`rule 13: ${version} is taken, by key and by certificate`, withCertificates, async (context) => {
    const both = await serve(context, { certificates: pki, psk: pskFile, verifyPeer: true });
    for (const parameters of [ALICE, { certificates: pki }]) {
      const options = loadClientTls(parameters, both.address);
      const socket = await secureClient(both.address, { ...options, ...only });
      assert.equal(socket.getProtocol(), version);
      socket.write(conversation(1, 4 * KIB).subarray(CLIENT_FLAGS.length));
      await read(socket, OPTION_REPLY_HEADER_BYTES);
      socket.destroy();
    }
  });

  test(
    `rule 13: in ${version} a client without a certificate is refused, if it has no key`,
    withCertificates,
    async (context) => {
      const anonymous = pickCertificates(pki, join(scratch, `ca-${version}`), ["ca-cert.pem"]);
      const strangers = makeCertificates(join(scratch, `strangers-${version}`));
      for (const psk of [undefined, pskFile]) {
        const { device, address, server, warnings } = await serve(context, {
          certificates: pki,
          psk,
          verifyPeer: true,
        });
        const known = loadClientTls({ certificates: anonymous }, address);
        const { cert, key } = loadClientTls({ certificates: strangers }, address);
        for (const options of [known, { ...known, cert, key }] as ConnectionOptions[]) {
          const socket = tlsConnect({ ...options, ...only, socket: await askedForTls(address) });
          socket.on("error", () => {});
          socket.write(conversation(1, 4 * KIB).subarray(CLIENT_FLAGS.length));
          assert.equal((await rest(socket)).length, 0, "the server answered");
        }
        await untilEmpty(server);
        assert.deepEqual(device.log, []);
        assert.match(warnings.join(), /TLS handshake failed/);
      }
    },
  );
}

test("rule 13: older TLS is refused", async (context) => {
  const { address, warnings, server } = await serve(context);
  const options = loadClientTls(ALICE, address);
  const old: ConnectionOptions = { ...options, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "PSK:@SECLEVEL=0" };
  const socket = tlsConnect({ ...old, socket: await askedForTls(address) });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
  await untilEmpty(server);
  assert.match(warnings.join(), /its TLS handshake failed \(unsupported protocol\)/);
});

test("a certificate that the CA has revoked is refused", withCertificates, async (context) => {
  const revoking = makeCertificates(join(scratch, "revoking"));
  revokeClient(revoking);
  const client = pickCertificates(revoking, join(scratch, "revoked"), [
    "ca-cert.pem",
    "client-cert.pem",
    "client-key.pem",
  ]);
  const { connect: open, warnings, server } = await serve(context, { certificates: revoking, verifyPeer: true });
  await assert.rejects(open({ certificates: client }));
  await untilEmpty(server);
  assert.match(warnings.join(), /CERT_REVOKED/);
});

test("a wrong key and an unknown user are refused", async (context) => {
  const { connect: open, device } = await serve(context);
  await assert.rejects(open({ username: "alice", pskFile: otherPskFile }));
  await assert.rejects(open({ username: "carol", pskFile: otherPskFile }));
  assert.deepEqual(device.log, []);
  await (await open(ALICE)).close();
});

test("a client with a key takes no certificate for it", withCertificates, async (context) => {
  const { connect: open } = await serve(context, { certificates: pki });
  await assert.rejects(open(ALICE), { code: "tls-failed" });
});

test("clients whose handshakes fail, however many, leave a line in the log, and nothing else", async (context) => {
  const { address, server, warnings } = await serve(context);
  for (let count = 0; count < 20; count++) {
    const socket = await askedForTls(address);
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await rest(socket);
  }
  await untilEmpty(server);
  assert.equal(warnings.length, 1, warnings.join("\n"));
  assert.match(warnings[0] ?? "", /^refused an NBD client: its TLS handshake failed \([^\n]*\)$/);
});

test("rule 12: plain text behind STARTTLS, in one piece with it or later, is never obeyed", async (context) => {
  const { device, address, server } = await serve(context);
  const plain = conversation(1, 4 * KIB).subarray(CLIENT_FLAGS.length);
  const inOnePiece = await rawClient(address);
  inOnePiece.write(Buffer.concat([CLIENT_FLAGS, STARTTLS, plain]));
  await rest(inOnePiece);
  const later = await askedForTls(address);
  later.write(plain);
  await rest(later);
  await untilEmpty(server);
  assert.deepEqual(device.log, []);
});

test("rule 13: there is no way back to plain text, which ends the connection", { timeout: 5_000 }, async (context) => {
  const { device, address, server } = await serve(context);
  const plain = await askedForTls(address);
  const between = new Duplex({ read: () => {}, write: (bytes, _, done) => void plain.write(bytes, done) });
  plain.on("data", (bytes) => between.push(bytes));
  await once(tlsConnect({ ...loadClientTls(ALICE, address), socket: between }), "secureConnect");
  // From here on its TLS hears nothing, and so ends nothing.
  plain.removeAllListeners("data");
  plain.write(conversation(1, 4 * KIB).subarray(CLIENT_FLAGS.length));
  await rest(plain);
  await untilEmpty(server);
  assert.deepEqual(device.log, []);
});

test("rule 13: a client that wants to negotiate anew is refused", async (context) => {
  const { address, connect: open } = await serve(context);
  const options = loadClientTls(ALICE, address);
  const socket = await secureClient(address, { ...options, maxVersion: "TLSv1.2" });
  const outcome = await new Promise((resolve) => {
    socket.on("error", resolve);
    socket.renegotiate({}, resolve);
  });
  assert.match(String(outcome), /no renegotiation/i);
  socket.destroy();
  await goesThereAndBack(await open(ALICE));
});

test("a TLS handshake that never ends is cut off with the handshake's time", async (context) => {
  const { address, server } = await serve(context, { psk: pskFile }, { limits: { handshakeTimeoutMs: 100 } });
  const silent = await askedForTls(address);
  // The start of a record that never comes.
  const halfway = await askedForTls(address);
  halfway.write(Buffer.from([22, 3, 1, 2, 0, 1]));
  await Promise.all([rest(silent), rest(halfway)]);
  await untilEmpty(server);
});

test("a client that vanishes anywhere in a TLS handshake leaves nothing", { timeout: 5_000 }, async (context) => {
  // It is noticed, not timed out.
  const { address, server, device } = await serve(
    context,
    { psk: pskFile },
    { limits: { handshakeTimeoutMs: 60_000 } },
  );
  const options = loadClientTls(ALICE, address);
  for (let stage = 0; stage < 6; stage++) {
    const plain = await askedForTls(address);
    const socket = tlsConnect({ ...options, socket: plain });
    socket.on("error", () => {});
    // 0: with the first bytes on their way; then turn by turn, until it is secured and asks for things.
    socket.write(conversation(3, 64 * KIB).subarray(CLIENT_FLAGS.length));
    await turns(stage);
    plain.destroy();
    await once(socket, "close");
  }
  await untilEmpty(server);
  assert.equal(device.admitted + device.reads.usedBytes + device.writes.usedBytes, 0);
});

test("much at once, both ways, keeps its data while the device has room for little", async (context) => {
  const { connect: open, device } = await serve(context);
  device.depth = 3;
  // So slow that it is full while the next request is in the middle of what has been decrypted.
  device.kick = () =>
    void turns(16).then(() => {
      device.answerAll();
      device.makeRoom();
    });
  const client = await open(ALICE);
  const pieces = Array.from({ length: 40 }, (_, index) => ({
    offset: index * MIB,
    data: randomBytes(index % 3 === 0 ? MIB : 96 * KIB),
  }));
  await Promise.all(pieces.map(({ offset, data }) => client.write(offset, data)));
  const reads = await Promise.all(pieces.map(({ offset, data }) => client.read(offset, data.length)));
  for (const [index, { data }] of pieces.entries()) assert.ok(data.equals(reads[index] as Uint8Array));
  // Thousands of headers in a few records.
  await Promise.all(Array.from({ length: 3000 }, (_, index) => client.read(index * 4 * KIB, 512)));
  await client.close();
  assert.equal(device.reads.usedBytes + device.writes.usedBytes, 0);
});

test("clients that don't read their replies pile up no more than without TLS", async (context) => {
  const { device, address, server } = await serve(context);
  const options = loadClientTls(ALICE, address);
  const clients = await Promise.all(Array.from({ length: 24 }, () => secureClient(address, options)));
  const all = submitted(device, 2 * clients.length);
  for (const socket of clients) {
    socket.pause();
    socket.write(conversation(2, MIB).subarray(CLIENT_FLAGS.length));
  }
  await all;
  await turns(1);
  server.unpinAll();
  assert.ok(device.reads.usedBytes <= MAX_PINNED_BYTES);

  const greedy = await secureClient(address, options);
  greedy.pause();
  const before = device.log.length;
  const some = submitted(device, 5);
  greedy.write(conversation(500, MIB).subarray(CLIENT_FLAGS.length));
  await some;
  // It reads on nothing that the greedy one asks for; others are served.
  await goesThereAndBack(await NbdClient.connect(formatUri({ address, name: "disk", tls: ALICE })));
  assert.ok(device.log.length - before < 60, `${device.log.length - before} requests were read`);

  for (const socket of [...clients, greedy]) socket.destroy();
  await untilEmpty(server);
  assert.equal(device.reads.usedBytes, 0);
});

test("a peer that has hung up is noticed below TLS, with requests unread", async (context) => {
  const seen: boolean[] = [];
  const { device, address, server } = await serve(
    context,
    { psk: pskFile },
    {
      hungUp: (fd) => {
        seen.push(hungUp(fd));
        return seen.at(-1) as boolean;
      },
    },
  );
  device.depth = 1;
  device.held = true;
  const socket = await secureClient(address, loadClientTls(ALICE, address));
  const first = submitted(device, 1);
  socket.write(conversation(20, 4 * KIB).subarray(CLIENT_FLAGS.length));
  await first;
  socket.destroy();
  await once(socket, "close");
  device.answerAll();
  device.makeRoom();
  await untilEmpty(server);
  assert.equal(seen.at(-1), true);
  assert.equal(device.log.length, 1, "requests of a dead connection were obeyed");
});

test("a shutdown gives what is in flight its replies, then ends TLS in good order", async (context) => {
  const { device, server, connect: open, address } = await serve(context);
  const client = await open(ALICE);
  const idle = await secureClient(address, loadClientTls(ALICE, address));
  device.content.fill(7);
  device.held = true;
  const asked = submitted(device, 1);
  const reading = client.read(0, 4 * MIB);
  await asked;
  const closed = server.close();
  device.answerAll();
  assert.equal((await reading)[4 * MIB - 1], 7);
  await Promise.all([closed, rest(idle)]);
  assert.equal(server.connections, 0);
});
