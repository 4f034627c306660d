import assert from "node:assert/strict";
import { test } from "node:test";
import { commandName, commandSpecOf, parseServerSpec, serverSpecOf } from "./server-spec.ts";

test("a URI has our options beside its own parameters", () => {
  const { target, ...rest } = parseServerSpec("nbd+unix:///disk?connections=4&socket=/run/x.sock&settle=1500us");
  assert.deepEqual(target, { address: { path: "/run/x.sock" }, name: "disk" });
  assert.deepEqual(rest, { type: "server", connections: 4, settleMs: 2 });
});

test("over TCP the network may hold requests back for a while, on this machine the server alone", () => {
  assert.equal(parseServerSpec("nbd://host/").settleMs, 1000);
  assert.equal(parseServerSpec("nbd://host/?settle=0ms").settleMs, 0);
  assert.equal(parseServerSpec("nbd+unix:///?socket=x").settleMs, undefined);
  assert.equal(parseServerSpec("nbd+unix:///?socket=x&settle=2s").settleMs, 2000);
});

test("a server for one client at a time gets one connection, and is not waited for", () => {
  const { connections, settleMs } = parseServerSpec("nbd://host/?exclusive&connections=8&settle=9s");
  assert.deepEqual({ connections, settleMs }, { connections: 1, settleMs: 0 });
});

test("the long form of a server says the same", () => {
  const options = { uri: "nbd://host:99/disk", connections: "3", settle: "5ms" };
  assert.deepEqual(serverSpecOf(options), parseServerSpec("nbd://host:99/disk?connections=3&settle=5ms"));
});

test("a command stays as it is, whatever is in it", () => {
  const command = "FOO='a b' nbdkit -U {socket} file 100%.img?x=1 && echo $?";
  assert.deepEqual(commandSpecOf({ command }, "/srv"), {
    type: "command",
    command,
    folder: "/srv",
    name: "",
    connections: 2,
  });
});

test("a command is called by its program's name", () => {
  assert.equal(commandName("  /usr/sbin/nbdkit -f"), "nbdkit");
  assert.equal(commandName("qemu-nbd"), "qemu-nbd");
});

for (const [what, make, message] of [
  ["no uri", () => serverSpecOf({}), /option uri: it is missing$/],
  ["an unknown option", () => serverSpecOf({ uri: "nbd://h/", conections: "2" }), /was connections meant\?/],
  ["too many connections", () => parseServerSpec("nbd://h/?connections=17"), /"17", a number from 1 to 16 was wanted/],
  ["a time that is none", () => parseServerSpec("nbd://h/?settle=soon"), /option settle: /],
  ["an option twice", () => parseServerSpec("nbd://h/?exclusive&exclusive"), /it has exclusive twice/],
  ["no command", () => commandSpecOf({}, "/"), /option command: it is missing/],
  ["no socket", () => commandSpecOf({ command: "nbdkit" }, "/"), /^Cannot start "nbdkit": it has no \{socket\}/],
  [
    "an option of another driver",
    () => commandSpecOf({ command: "{socket}", settle: "1s" }, "/"),
    /no option "settle"/,
  ],
] as const) {
  test(`${what} is one clear line`, () => {
    assert.throws(make, ({ message: text }: Error) => {
      assert.match(text, /^Cannot [^\n]+$/);
      assert.match(text, message);
      return true;
    });
  });
}
