import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig, readConfig } from "./config.ts";
import { parseSpec } from "./spec.ts";

const FILE = "/srv/skink.yaml";

test("a full configuration is read, with paths from its folder", () => {
  const config = parseConfig(
    `
devices:
  - name: db
    spec: file:db.img?size=10G
    link: inline
    readOnly: true
    limits: { pieces: 10, writeBytes: 64M, readBytes: 1048576 }
    policy: { heldTimeoutMs: 5 }
  - name: scratch
    driver: "null"
    options: { size: 1G, memory: true, block: 4096 }
listen: { port: 10809, host: 127.0.0.1 }
tls: { certificates: pki, psk: /etc/keys.psk, verifyPeer: true }
control: run/control.sock
`,
    FILE,
  );
  assert.deepEqual(config, {
    devices: [
      {
        name: "db",
        spec: parseSpec("file:/srv/db.img?size=10G"),
        link: "inline",
        readOnly: true,
        limits: { pieces: 10, writeBytes: 64 << 20, readBytes: 1 << 20 },
        policy: { heldTimeoutMs: 5 },
      },
      {
        name: "scratch",
        spec: parseSpec("null:1G?memory=true&block=4096"),
      },
    ],
    listen: { port: 10809, host: "127.0.0.1" },
    tls: { mode: "required", certificates: "/srv/pki", psk: "/etc/keys.psk", verifyPeer: true },
    control: "/srv/run/control.sock",
  });
});

test("TLS that is off is as none", () => {
  const device = "devices:\n  - name: a\n    spec: memory:1M\n";
  assert.equal(parseConfig(`${device}tls: { mode: off, psk: k }`, FILE).tls, undefined);
});

test("servers have a long form, with the folder of the configuration for commands", () => {
  const { devices } = parseConfig(
    `
devices:
  - name: ours
    driver: exec
    options: { command: "nbdkit -f -U {socket} file a.img?b", export: disk, connections: 4 }
  - name: another
    driver: nbd
    options: { uri: "nbd+unix:///disk?socket=/run/x.sock", connections: 3, settle: 20ms }
  - name: exclusive
    driver: nbd
    options: { uri: "nbd://host/disk", exclusive: true }
`,
    FILE,
  );
  assert.deepEqual(
    devices.map(({ spec }) => spec),
    [
      {
        kind: "exec:nbdkit",
        source: {
          type: "command",
          command: "nbdkit -f -U {socket} file a.img?b",
          folder: "/srv",
          name: "disk",
          connections: 4,
        },
      },
      parseSpec("nbd+unix:///disk?socket=/run/x.sock&connections=3&settle=20ms"),
      parseSpec("nbd://host/disk?exclusive"),
    ],
  );
});

test("each mistake is one line with the file, its line and its path", () => {
  const device = "devices:\n  - name: a\n    spec: memory:1M\n";
  const cases: [string, string][] = [
    ["", "devices: it is missing, a list was wanted"],
    ["devices: []", ":1: devices: it is empty, at least one was wanted"],
    ["devices:\n  - spec: memory:1M", ":2: devices[0].name: it is missing, a text was wanted"],
    ["devices:\n  - name: a", ":2: devices[0].driver: neither is there, spec or driver was wanted"],
    [`${device}    driver: file`, ":3: devices[0].spec: spec and driver are both there, spec or driver was wanted"],
    [`${device}    options: {}`, ":3: devices[0].spec: options are there beside spec,"],
    [`${device}    link: procces`, ':4: devices[0].link: it is "procces", process or inline was wanted'],
    [
      "devices:\n  - name: a\n    spec: exec:nbdkit -fU {socket} null\n    link: inline",
      ":4: devices[0].link: it is beside exec:nbdkit, an NBD server, no link was wanted",
    ],
    [`${device}    readonly: true`, ":4: devices[0].readonly: there is no such key, was readOnly meant?"],
    [`${device}    limits: { peices: 3 }`, ":4: devices[0].limits.peices: there is no such key, was pieces meant?"],
    [`${device}    limits: { pieces: many }`, ':4: devices[0].limits.pieces: it is "many", a number was wanted'],
    [`${device}    limits: { writeBytes: 1X }`, ":4: devices[0].limits.writeBytes: it is no size, such as 256M"],
    [`${device}    policy:\n      heldTimeoutMs: 0`, ":5: devices[0].policy.heldTimeoutMs: it is 0, more than 0 was"],
    [
      `${device}    policy:\n      heldTimeoutMs: 1.5`,
      ":5: devices[0].policy.heldTimeoutMs: it is 1.5, a whole number",
    ],
    [`${device}listen: { port: 99999 }`, ":4: listen.port: it is 99999, at most 65535 was wanted"],
    [`${device}listen: { host: a }`, ":4: listen: it has a host and no port"],
    [`${device}colour: red`, ":4: colour: there is no such key, one of devices, listen, tls, control was wanted"],
    [`${device}tls: { mode: maybe }`, ':4: tls.mode: it is "maybe", off or on or required was wanted'],
    [`${device}tls: { mode: on }`, ":4: tls: it has neither certificates nor psk, one of them was wanted"],
    [`${device}tls: { psk: k, verifyPeer: true }`, ":4: tls: it has verifyPeer and no certificates, both were wanted"],
    [`${device}tls: { certificate: pki }`, ":4: tls.certificate: there is no such key, was certificates meant?"],
    [`${device}  - name: a\n    spec: memory:1M`, ":4: devices[1].name: a is there twice"],
    ["devices:\n  - name: a\n    spec: memroy:1M", ':3: devices[0].spec: Cannot serve "memroy:1M": there is no driver'],
    ["devices:\n  - name: a\n    driver: ./no.ts", ':3: devices[0].driver: Cannot serve "./no.ts": there is no file'],
    ["devices: [\n", ":2: "],
    [
      "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c, *c]",
      ": Excessive alias count",
    ],
    ["a: 1\na: 2", ":2: Map keys must be unique"],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => parseConfig(text, FILE),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "bad-config");
        assert.ok(error.message.startsWith(FILE), error.message);
        assert.ok(error.message.includes(expected), `${error.message}\ndoesn't say\n${expected}`);
        assert.ok(!error.message.includes("\n"), error.message);
        return true;
      },
      text,
    );
  }
});

test("all mistakes are named at once, up to a limit", () => {
  const devices = Array.from({ length: 20 }, () => "  - nme: a");
  assert.throws(
    () => parseConfig(`devices:\n${devices.join("\n")}`, FILE),
    ({ message }: Error) => message.split("\n").length === 10,
  );
});

test("a missing configuration is named", () => {
  assert.throws(() => readConfig("/nowhere/skink.yaml"), {
    code: "bad-config",
    message: "Cannot read /nowhere/skink.yaml: there is no such file, a configuration was wanted",
  });
});
