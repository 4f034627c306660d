import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import { parseConfig, readConfig } from "./config.ts";
import { checkContradictions } from "./contradictions.ts";
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
    verify: digests
    limits: { pieces: 10, writeBytes: 64M, readBytes: 1048576, digestBytes: 16M }
    policy: { heldTimeoutMs: 5 }
    fallback: file:db.img
    hook: ./tell.sh
    health: { command: ./check.sh }
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
        verify: "digests",
        limits: { pieces: 10, writeBytes: 64 << 20, readBytes: 1 << 20, digestBytes: 16 << 20 },
        policy: { heldTimeoutMs: 5 },
        fallback: parseSpec("file:/srv/db.img"),
        hook: { command: "./tell.sh", folder: "/srv" },
        health: {
          check: { type: "command", command: "./check.sh", folder: "/srv" },
          everyMs: 5000,
          timeoutMs: 2000,
          failures: 2,
        },
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

test("the whole policy can be said, with 0 where that means no limit", () => {
  const unlimited = {
    maxResidentBytes: 0,
    maxOpenFiles: 0,
    maxLagMs: 0,
    restartBudget: 0,
    probationRequests: 0,
    probationMs: 0,
  };
  const said = { ...DEFAULT_POLICY, ...unlimited, exhausted: "read-only", watch: false };
  const device = `devices: [{ name: a, spec: "memory:1M", policy: ${JSON.stringify(said)} }]`;
  assert.deepEqual(parseConfig(device, FILE).devices[0]?.policy, said);
});

test("a resident size may be said as one", () => {
  const { devices } = parseConfig("devices: [{ name: a, spec: memory:1M, policy: { maxResidentBytes: 2G } }]", FILE);
  assert.deepEqual(devices[0]?.policy, { maxResidentBytes: 2 * 2 ** 30 });
});

test("a fallback has a long form, a health check may be a module, and verify may be off", () => {
  const { devices } = parseConfig(
    `
devices:
  - name: a
    spec: memory:1M
    standby: true
    verify: off
    policy: { poison: fallback }
    fallback: { driver: "null", options: { size: 1M } }
    health: { module: config.test.ts, everyMs: 10, timeoutMs: 20, failures: 3 }
`,
    import.meta.filename,
  );
  assert.deepEqual(devices, [
    {
      name: "a",
      spec: parseSpec("memory:1M"),
      standby: true,
      policy: { poison: "fallback" },
      fallback: parseSpec("null:1M"),
      health: { check: { type: "module", module: import.meta.url }, everyMs: 10, timeoutMs: 20, failures: 3 },
    },
  ]);
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
      ":4: devices[0].link: it is inline beside exec:nbdkit, an NBD server, no link was wanted",
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
    [`${device}    policy: { watch: 1 }`, ":4: devices[0].policy.watch: it is 1, true or false was wanted"],
    [`${device}    policy: { exhausted: dead }`, ':4: devices[0].policy.exhausted: it is "dead", held or failed or'],
    [`${device}    policy: { maxOpenFiles: -1 }`, ":4: devices[0].policy.maxOpenFiles: it is -1, at least 0 was"],
    [`${device}    policy: { deadlineFactor: 0.5 }`, ":4: devices[0].policy.deadlineFactor: it is 0.5, at least 1"],
    [
      `${device}    policy: { deadlineCeilingMs: 1000 }`,
      ":4: devices[0].policy.deadlineCeilingMs: it is 1000, at least stuckFloorMs, which is 1500, was wanted",
    ],
    [
      `${device}    policy: { maxRestartDelayMs: 50 }`,
      ":4: devices[0].policy.maxRestartDelayMs: it is 50, at least restartDelayMs, which is 100, was wanted",
    ],
    [
      `${device}    policy: { poison: fallback }`,
      ":4: devices[0].policy.poison: it is fallback and the device has none, a fallback or error was wanted",
    ],
    [`${device}    link: inline\n    standby: true`, ":5: devices[0].standby: it is beside link inline, link process"],
    [
      "devices:\n  - name: a\n    spec: nbd://host/disk\n    standby: true",
      ":4: devices[0].standby: it is beside nbd, an NBD server, a driver in a host of its own was wanted",
    ],
    ["devices:\n  - name: ''\n    spec: memory:1M", ":2: devices[0].name: it is empty, a text was wanted"],
    [
      "devices:\n  - name: a\n    spec: null:1M\n    verify: digests",
      ":4: devices[0].verify: it is digests beside null, which stores nothing, off was wanted",
    ],
    [`${device}    verify: all`, ':4: devices[0].verify: it is "all", off or digests was wanted'],
    [`${device}    fallback: memroy:1M`, ':4: devices[0].fallback: Cannot serve "memroy:1M": there is no driver'],
    [
      `${device}    fallback: { option: {} }`,
      ":4: devices[0].fallback.option: there is no such key, was options meant?",
    ],
    [`${device}    fallback: {}`, ":4: devices[0].fallback: neither is there, spec or driver was wanted"],
    [`${device}    fallback: 3`, ":4: devices[0].fallback: it is 3, a spec or a mapping was wanted"],
    [`${device}    hook: ""`, ":4: devices[0].hook: it is empty, a command was wanted"],
    [`${device}    health: { command: "" }`, ":4: devices[0].health.command: it is empty, a command was wanted"],
    [`${device}    health: {}`, ":4: devices[0].health: neither is there, command or module was wanted"],
    [
      `${device}    health: { command: a, module: b }`,
      ":4: devices[0].health: command and module are both there, command or module was wanted",
    ],
    [
      `${device}    health: { module: no.ts }`,
      ":4: devices[0].health: there is no file /srv/no.ts, a module was wanted",
    ],
    [`${device}    health: { comand: a }`, ":4: devices[0].health.comand: there is no such key, was command meant?"],
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

const REMOTE = "nbd://host/disk";
const COMMAND = "exec:nbdkit -f -U {socket} null 1M";

test("a limit that would do nothing is a mistake", () => {
  const every = ["maxResidentBytes", "maxOpenFiles", "maxLagMs"];
  const cases: [string, readonly string[], string][] = [
    ["spec: memory:1M, link: inline", every, "link inline, where the process is the front's own"],
    [`spec: "${REMOTE}"`, every, "nbd, whose process is not Skink's"],
    [`spec: "${COMMAND}"`, ["maxLagMs"], "exec:nbdkit, whose event loop nobody can ask"],
    [`spec: "${COMMAND}", fallback: "${REMOTE}"`, ["maxLagMs"], "exec:nbdkit, whose event loop nobody can ask"],
  ];
  for (const [settings, figures, beside] of cases) {
    for (const figure of figures) {
      const message = `${FILE}:1: devices[0].policy.${figure}: it is 1000 beside ${beside}, 0 was wanted`;
      assert.throws(() => parseConfig(limited(settings, figure), FILE), { code: "bad-config", message });
    }
  }
});

test("a limit that does something for one of the drivers is none", () => {
  for (const [settings, figure] of [
    ["spec: memory:1M", "maxLagMs"],
    [`spec: "${COMMAND}"`, "maxResidentBytes"],
    [`spec: "${REMOTE}", fallback: memory:1M`, "maxLagMs"],
    [`spec: memory:1M, fallback: "${REMOTE}"`, "maxOpenFiles"],
    [`spec: memory:1M, link: inline, fallback: "${COMMAND}"`, "maxOpenFiles"],
  ] as const) {
    assert.deepEqual(parseConfig(limited(settings, figure), FILE).devices[0]?.policy, { [figure]: 1000 });
  }
});

function limited(settings: string, figure: string): string {
  return `devices: [{ name: a, ${settings}, policy: { ${figure}: 1000 } }]`;
}

test("what a program says of a device is held to the same", () => {
  const spec = parseSpec("memory:1M");
  checkContradictions("disk", { spec, standby: true });
  assert.throws(() => checkContradictions("disk", { spec, standby: true, link: "inline" }), {
    code: "bad-device",
    message: "Cannot serve disk: standby: it is beside link inline, link process was wanted",
  });
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
