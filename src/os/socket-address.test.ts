import { strict as assert } from "node:assert";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer, type ListenOptions } from "node:net";
import { type TestContext, test } from "node:test";
import { boundAddress, decodeAddress, encodeUnixAddress, isListening } from "./socket-address.ts";

test("addresses are read as they stand in memory", () => {
  const cases: [string, ReturnType<typeof decodeAddress>][] = [
    ["0100 2f72756e2f7800", { path: "/run/x" }],
    // Without the zero byte behind a path of full length.
    ["0100 2f72756e2f78", { path: "/run/x" }],
    ["0100 00616263", { path: "\0abc" }],
    ["0200 2a39 7f000001 0000000000000000", { host: "127.0.0.1", port: 10809 }],
    ["0a00 2a39 00000000 00000000000000000000000000000001 00000000", { host: "::1", port: 10809 }],
    ["0a00 2a39 00000000 fe800000000000000000000000000abc 00000000", { host: "fe80::abc", port: 10809 }],
    // A unix socket without a name; netlink.
    ["0100", undefined],
    ["1000 0000 00000000 00000000", undefined],
    ["", undefined],
  ];
  for (const [hex, address] of cases) {
    assert.deepEqual(decodeAddress(Buffer.from(hex.replaceAll(" ", ""), "hex")), address, hex);
  }
});

test("unix addresses end with a zero byte, abstract ones with their name", () => {
  assert.equal(Buffer.from(encodeUnixAddress("/run/x")).toString("hex"), "01002f72756e2f7800");
  assert.equal(Buffer.from(encodeUnixAddress("\0abc")).toString("hex"), "010000616263");
  assert.equal(encodeUnixAddress(`/${"x".repeat(106)}`).length, 110);
  assert.throws(() => encodeUnixAddress(`/${"x".repeat(107)}`), RangeError);
});

for (const [what, options, expected] of [
  ["an abstract socket", { path: `\0skink-address-${process.pid}` }, { path: `\0skink-address-${process.pid}` }],
  ["TCP over IPv4", { host: "127.0.0.1", port: 0 }, { host: "127.0.0.1" }],
  ["TCP over IPv6", { host: "::1", port: 0 }, { host: "::1" }],
] as const) {
  test(`a listening socket is known, with its address: ${what}`, async (context) => {
    const fd = await listening(context, options);
    assert.equal(isListening(fd), true);
    const { host, port, path } = { host: undefined, port: undefined, path: undefined, ...boundAddress(fd) };
    assert.deepEqual(host === undefined ? { path } : { host }, expected);
    if (host !== undefined) assert.ok(Number(port) > 0);
  });
}

test("what isn't a socket is an error", () => {
  const file = openSync("/dev/null", "r");
  assert.throws(() => isListening(file), { code: "ENOTSOCK" });
  closeSync(file);
});

async function listening(context: TestContext, options: ListenOptions): Promise<number> {
  const server = createServer().listen(options);
  await once(server, "listening");
  context.after(() => server.close());
  return Reflect.get(Reflect.get(server, "_handle"), "fd");
}
